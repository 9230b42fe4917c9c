import { digestOf } from "../../src/oci/index.ts";
import { parseTarget } from "../../src/registry/http/target.ts";
import { anonymous, type HostAccess, type HostFailure } from "../../src/registry/index.ts";
import { type ScriptedAnswer, ScriptedServer, type SeenRequest, useClient } from "./index.ts";

/** What is asked for. */
export const manifest = Buffer.from('{"schemaVersion":2}');
export const digest = digestOf(manifest);
export const blob = Buffer.from("the blob's bytes");
export const descriptor = { digest: digestOf(blob), size: blob.length };

/** How a host answers. */
export type Answer = (request: SeenRequest) => ScriptedAnswer;

/** Hosts of all kinds. */
export const has: Answer = ({ url }) => ({ body: url.includes("/manifests/") ? manifest : blob });
export const hasNot: Answer = () => ({ status: 404, body: '{"errors":[{"code":"NAME_UNKNOWN"}]}' });
export const lies: Answer = ({ url }) => ({ body: url.includes("/manifests/") ? "other" : "not the blob's  " });
export const isDown: Answer = () => ({ status: 503 });
export const isClosed: Answer = () => ({ status: 401, headers: { "www-authenticate": "Basic realm=x" } });

/** A registry with mirrors in front of it: the first answers are the mirrors', the last one is the registry's. */
export async function useHosts(answers: readonly Answer[], more: Partial<HostAccess> = {}) {
  const bench = await useClient(answers.at(-1) ?? has);
  const mirrors = await Promise.all(answers.slice(0, -1).map((answer) => ScriptedServer.start(answer)));
  const failures: HostFailure[] = [];
  const plain = {
    capabilities: ["pull", "resolve"],
    trust: undefined,
    tls: undefined,
    headers: {},
    connectTimeoutMs: undefined,
    problem: undefined,
    credentials: [anonymous],
  } as const;
  const hosts: HostAccess[] = [
    ...mirrors.map(({ url }) => ({ ...plain, kind: "mirror" as const, root: parseTarget(`${url}/v2`), ...more })),
    { ...plain, kind: "origin", root: undefined },
  ];
  const access = { hosts, onHostFailed: (failure: HostFailure) => void failures.push(failure) };
  return {
    bench,
    mirrors,
    hosts,
    failures,
    manifest: (tagOrDigest = "v1", change: Partial<typeof access> = {}) =>
      bench.client.fetchManifest(bench.query({ tagOrDigest, ...access, ...change })),
    head: () => bench.client.headManifest(bench.query(access)),
    async blob() {
      let bytes = Buffer.alloc(0);
      const sink = {
        write(chunk: Buffer) {
          bytes = Buffer.concat([bytes, chunk]);
        },
        restart() {
          bytes = Buffer.alloc(0);
        },
      };
      await bench.client.fetchHostedBlob({ ...bench.query(access), descriptor, sink });
      return bytes.toString();
    },
    /** How often each host was asked, the registry last. */
    counts: () => [...mirrors, bench.server].map(({ seen }) => seen.length),
    async [Symbol.asyncDispose]() {
      for (const mirror of mirrors) await mirror[Symbol.asyncDispose]();
      await bench[Symbol.asyncDispose]();
    },
  };
}
