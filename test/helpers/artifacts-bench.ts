import { readdirSync } from "node:fs";
import { join } from "node:path";
import { type ArtifactRequest, Artifacts } from "../../src/artifact/artifacts.ts";
import { CredentialFinder } from "../../src/artifact/credential-finder.ts";
import { PullWorker } from "../../src/artifact/pull-worker-host.ts";
import { type Clock, createMemory, systemClock } from "../../src/base/index.ts";
import { parsePlatform, parseReference } from "../../src/oci/index.ts";
import {
  type BuiltManifest,
  configuredArtifact,
  EmbeddedRegistry,
  type EmbeddedRegistryOptions,
  layer,
  push,
} from "../registry/index.ts";
import { ManualClock } from "../registry-client/manual-clock.ts";
import { type CacheArea, useCache } from "./cache-area.ts";

/** How a request differs from that of volume v1 of namespace blue for `team/thing:v1`. */
type Changes = Partial<ArtifactRequest> & { readonly repository?: string; readonly tag?: string };

/** The whole of src/artifact over a cache, with real threads; those that idle end soon. */
export function createArtifacts({ cache, log }: Pick<CacheArea, "cache" | "log">, clock: Clock): Artifacts {
  const hasty = (delayMs: number, run: () => void) => systemClock.after(Math.min(delayMs, 200), run);
  return new Artifacts({
    cache,
    worker: new PullWorker({ ...systemClock, after: hasty }),
    credentials: new CredentialFinder({ dockerConfig: undefined, caFile: undefined, clock: systemClock, log }),
    enforceNamespaces: true,
    maxPulls: 2,
    maxUnpackRatio: 200,
    allowRegistry: [],
    memory: createMemory({ trimMemory: () => Promise.resolve() }),
    clock,
    log,
  });
}

/** What a volume wants of a registry. */
export function requestFor(registry: EmbeddedRegistry, changes: Changes = {}): ArtifactRequest {
  const { repository = "team/thing", tag = "v1", ...rest } = changes;
  return {
    volume: "v1",
    namespace: "blue",
    reference: parseReference(`${registry.host}/${repository}:${tag}`),
    transport: "http",
    selection: { mediaTypes: [], titles: [] },
    platform: parsePlatform("linux/amd64"),
    policy: "IfNotPresent",
    concurrency: 4,
    secrets: {},
    ...rest,
  };
}

/** The same with a cache of its own, a registry on loopback, and deadlines that a test moves. */
export async function useArtifacts(options: EmbeddedRegistryOptions = {}) {
  const clock = new ManualClock();
  const area = await useCache({ clock });
  const registry = await EmbeddedRegistry.start(options);
  const { cache } = area;
  const artifacts = createArtifacts(area, clock);
  const patience = (signal = new AbortController().signal) => {
    return { deadlineMs: clock.monotonicMs() + 100_000, timeoutMs: 100_000, signal };
  };
  const present = (changes?: Changes, signal?: AbortSignal) =>
    artifacts.present(requestFor(registry, changes), patience(signal));
  const cached = (changes?: Changes) => artifacts.cached(requestFor(registry, changes));
  const pushThing = async (manifest: BuiltManifest, repository = "team/thing") => {
    await push(registry, repository, manifest, "v1");
    registry.log.clear();
  };
  /** What is half-made: in ingest/ and tmp/. */
  const halfMade = async () => {
    await cache.sweeper.idle();
    return ["ingest", "tmp"].flatMap((folder) => readdirSync(join(area.dataDir, folder)));
  };
  return {
    area,
    clock,
    registry,
    artifacts,
    present,
    cached,
    pushThing,
    halfMade,
    async [Symbol.asyncDispose]() {
      await artifacts.close();
      await registry.close();
      await area[Symbol.asyncDispose]();
    },
  };
}

/** Holds answers whose path ends so, until it is let go. */
export function hold({ registry }: Awaited<ReturnType<typeof useArtifacts>>, part: string, afterBytes: number) {
  const gate = Promise.withResolvers<void>();
  registry.fault = ({ path }) => (path.includes(part) ? { kind: "hold", afterBytes, until: gate.promise } : undefined);
  const held = registry.log.waitFor(({ path, bytesSent }) => path.includes(part) && bytesSent === afterBytes);
  return { held, release: () => gate.resolve() };
}

/** Lets everything run that can. */
export const turns = async () => {
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
};

/** An artifact whose config names its file. */
export function chart(name: string) {
  const config = layer(Buffer.from(JSON.stringify({ name })), "application/vnd.cncf.helm.config.v1+json");
  const content = layer(Buffer.from(name), "application/vnd.cncf.helm.chart.content.v1.tar+gzip");
  return { config, manifest: configuredArtifact(config, [content]) };
}
