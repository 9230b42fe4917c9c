import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { LayerUnpacker } from "../../src/artifact/layer-unpacker.ts";
import { planOf } from "../../src/artifact/plan.ts";
import { AwayRoom } from "../../src/artifact/pull-place.ts";
import { PullRun } from "../../src/artifact/pull-run.ts";
import type {
  FailedTry,
  PullAsk,
  PullJob,
  PullProgress,
  RequestEvent,
  StagedTree,
  UnveilAsk,
} from "../../src/artifact/worker-calls.ts";
import { type Clock, KeyedLock, systemClock } from "../../src/base/index.ts";
import { type Digest, parseManifest } from "../../src/oci/index.ts";
import { Admission, anonymous, createRegistryClient } from "../../src/registry/index.ts";
import { type FoundEntry, listTree } from "../fixtures/unpacking.ts";
import { type BuiltManifest, EmbeddedRegistry, type EmbeddedRegistryOptions, push } from "../registry/index.ts";
import { type CacheArea, useCache } from "./cache-area.ts";

const REPOSITORY = "team/thing";

/** What one pull did. */
export interface PulledTree {
  readonly staged: StagedTree;
  readonly found: readonly FoundEntry[];
}

/** How one pull differs from the others. */
export interface PullOptions
  extends Partial<
    Pick<PullJob, "repository" | "credentials" | "concurrency" | "maxUnpackRatio" | "unproven" | "enforceNamespaces">
  > {
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: PullProgress | FailedTry) => void;
}

/** Pulls as the pull worker runs them, on this thread, from a registry on this thread; tars have a real worker. */
export interface PullBench extends AsyncDisposable {
  readonly area: CacheArea;
  readonly registry: EmbeddedRegistry;
  /** What the repository was noted to have given. */
  readonly given: Digest[];
  readonly events: (PullProgress | FailedTry)[];
  /** Pushes the artifact, and forgets that it was. */
  push(manifest: BuiltManifest): Promise<void>;
  /** One pull of an artifact. Its tree is listed, then thrown away with its staging folder. */
  pull(manifest: BuiltManifest, options?: PullOptions): Promise<PulledTree>;
  /** All that lies in ingest/, tmp/, blobs/ and layers/, relative to the data dir. */
  stored(): Promise<string[]>;
}

/** The machine's clock, with idle threads ended soon. */
const hasty: Clock = { ...systemClock, after: (delayMs, run) => systemClock.after(Math.min(delayMs, 200), run) };

/** Sets one up; `parent` is where the data dir goes. */
export async function usePulls(
  options: EmbeddedRegistryOptions & { readonly parent?: string } = {},
): Promise<PullBench> {
  const area = await useCache(options.parent === undefined ? {} : { parent: options.parent });
  const registry = await EmbeddedRegistry.start(options);
  const client = createRegistryClient({ clock: systemClock, log: area.log, caCertificates: [], userAgent: "test" });
  const tools = {
    client,
    unpacker: new LayerUnpacker(hasty),
    fetching: new KeyedLock(),
    committing: new KeyedLock(),
    clock: hasty,
    awayRoom: new AwayRoom(),
    createAdmission: () => new Admission(),
    collectIfGrown: () => undefined,
  };
  const given: Digest[] = [];
  const events: (PullProgress | FailedTry)[] = [];
  const ask = async (asked: PullAsk | UnveilAsk) => {
    assert.ok(!("unveil" in asked), "nothing is deferred here");
    // What the job has is all that is offered, and its place is its own.
    if ("offer" in asked || "place" in asked) return undefined;
    if (!("given" in asked)) return area.cache.commitLayer(asked);
    given.push(asked.given);
    return undefined;
  };
  const pull = async (manifest: BuiltManifest, how: PullOptions = {}) => {
    const { signal = new AbortController().signal, onEvent, ...job } = how;
    const emit = (event: PullProgress | RequestEvent) => {
      if ("failedHost" in event) return;
      events.push(event);
      onEvent?.(event);
    };
    return area.cache.withStaging(async (staging) => {
      const whole = { ...jobFor(manifest, registry, area), staging, ...job };
      const staged = await new PullRun(whole, { signal, emit, ask }, tools).run();
      return { staged, found: listTree(staged.folder) };
    });
  };
  return {
    area,
    registry,
    given,
    events,
    async push(manifest) {
      await push(registry, REPOSITORY, manifest, "v1");
      registry.log.clear();
    },
    pull,
    async stored() {
      await area.cache.sweeper.idle();
      const folders = ["ingest", "tmp", "blobs/sha256", "layers/sha256"];
      return folders.flatMap((folder) => readdirSync(join(area.dataDir, folder)).map((name) => `${folder}/${name}`));
    },
    async [Symbol.asyncDispose]() {
      client.close();
      await registry.close();
      await area[Symbol.asyncDispose]();
    },
  };
}

function jobFor(manifest: BuiltManifest, registry: EmbeddedRegistry, { dataDir }: CacheArea): Omit<PullJob, "staging"> {
  const parsed = parseManifest(manifest.bytes, manifest.mediaType);
  if (parsed.kind !== "manifest") throw new Error("an index cannot be pulled as a whole");
  return {
    repository: { registry: registry.host, repository: REPOSITORY, transport: "http" },
    credentials: [anonymous],
    caCertificates: [],
    dataDir,
    reference: `${registry.host}/${REPOSITORY}:v1`,
    layers: planOf(parsed, { mediaTypes: [], titles: [] }).layers,
    unproven: [],
    enforceNamespaces: true,
    isDurable: true,
    isThorough: false,
    isForOneCaller: false,
    isOffline: false,
    concurrency: 4,
    maxUnpackRatio: 200,
  };
}
