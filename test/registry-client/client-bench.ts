import assert from "node:assert/strict";
import { createLogger, DriverError, type ErrorKind } from "../../src/base/index.ts";
import {
  anonymous,
  type Credential,
  createRegistryClient,
  type ManifestQuery,
  type RegistryClient,
  type RegistryClientOptions,
} from "../../src/registry/index.ts";
import { ManualClock } from "./manual-clock.ts";
import { type ScriptedAnswer, ScriptedServer, type SeenRequest } from "./scripted-server.ts";

/** A client whose pauses between tries pass at once, and a scripted registry. */
export interface ClientBench extends AsyncDisposable {
  readonly server: ScriptedServer;
  readonly clock: ManualClock;
  readonly client: RegistryClient;
  /** A query for `org/app:v1` there, over plain http and anonymously, unless said otherwise. */
  query(more?: Partial<ManifestQuery>): ManifestQuery;
}

/** A password as pods give it, and one of the node's. */
export const podSecret: Credential = {
  kind: "password",
  username: "u",
  password: "p",
  source: "the pod's secret",
  owner: "pod",
};
export const nodeConfig: Credential = {
  kind: "password",
  username: "n",
  password: "q",
  source: "--docker-config",
  owner: "node",
};

const log = createLogger({ level: "silent", format: "json", write: () => undefined });

/** Starts both. */
export async function useClient(
  answer: (request: SeenRequest) => ScriptedAnswer,
  options: Partial<RegistryClientOptions> = {},
): Promise<ClientBench> {
  const server = await ScriptedServer.start(answer);
  // Longer than any pause, shorter than any timeout: those only pass when a test says so.
  const clock = new ManualClock({ passBelowMs: 9_900 });
  const limits = { idleTimeoutMs: 60_000 };
  const client = createRegistryClient({ clock, log, caCertificates: [], userAgent: "test", limits, ...options });
  return {
    server,
    clock,
    client,
    query: (more) => ({
      repository: { registry: server.host, repository: "org/app", transport: "http" },
      tagOrDigest: "v1",
      credentials: [anonymous],
      ...more,
    }),
    async [Symbol.asyncDispose]() {
      client.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

/** For `assert.rejects`: a `DriverError` of that kind whose message matches all of it. */
export function failsAs(kind: ErrorKind, ...says: RegExp[]): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof DriverError, String(error));
    assert.equal(error.kind, kind, error.message);
    for (const part of says) assert.match(error.message, part);
    assert.ok(error.message.length <= 1000);
    return true;
  };
}
