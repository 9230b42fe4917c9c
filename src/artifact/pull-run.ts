import { rmSync } from "node:fs";
import { join } from "node:path";
import { type CallContext, type Clock, DriverError, type KeyedLock } from "../base/index.ts";
import { Blobs, createLayout, type Layout } from "../cache/index.ts";
import type { Digest } from "../oci/index.ts";
import type { Admission, HostFailure, RegistryClient } from "../registry/index.ts";
import type { UnpackLimits } from "../unpack/index.ts";
import { assembleTree, LostLayer } from "./assemble-tree.ts";
import type { Bandwidth } from "./bandwidth.ts";
import { diskErrorFrom } from "./disk-error.ts";
import { downloadOrigin } from "./download-origin.ts";
import { errorDuring } from "./error-during.ts";
import { type FetchOptions, LayerFetcher } from "./layer-fetcher.ts";
import { LayerPace, type LayerSteps } from "./layer-pace.ts";
import { LayerPresence } from "./layer-presence.ts";
import type { LayerUnpacker, PullUnpacking } from "./layer-unpacker.ts";
import { ModeCopies } from "./mode-copies.ts";
import type { PlacedLayer } from "./placed-layer.ts";
import { PullAccess } from "./pull-access.ts";
import { PullCounts } from "./pull-counts.ts";
import { type AwayRoom, PullPlace } from "./pull-place.ts";
import { unpackLimits } from "./unpack-limits.ts";
import type { PullJob, PullWorkerCalls, StagedTree } from "./worker-calls.ts";

/** What all pulls of the worker share. */
export interface PullTools {
  readonly client: RegistryClient;
  /** Remembers what a pull's hosts have let in of one offer. */
  readonly createAdmission: () => Admission;
  readonly unpacker: LayerUnpacker;
  /** Held by origin and digest while a blob is fetched: a slow origin holds up nobody else's pull. */
  readonly fetching: KeyedLock;
  /** Held by digest while what was fetched is put into the cache. */
  readonly committing: KeyedLock;
  /** What all of them may take. */
  readonly bandwidth?: Bandwidth | undefined;
  readonly clock: Clock;
  readonly collectIfGrown: () => void;
  /** For pulls that let others go first. */
  readonly awayRoom: AwayRoom;
}

type PullContext = CallContext<PullWorkerCalls["pull"]>;

/** One pull, in the worker: fetches what the cache lacks, then puts the tree together in the staging folder. */
export class PullRun {
  readonly #job: PullJob;
  readonly #context: PullContext;
  readonly #tools: PullTools;
  readonly #layout: Layout;
  readonly #blobs: Blobs;
  readonly #presence: LayerPresence;
  readonly #unproven: Set<Digest>;
  /** What all tar layers may be together, those included that the cache has. */
  readonly #limits: UnpackLimits;
  readonly #counts: PullCounts;
  readonly #fetcher: LayerFetcher;
  readonly #place: PullPlace;
  #skippedEntries = 0;

  constructor(job: PullJob, context: PullContext, tools: PullTools) {
    this.#job = job;
    this.#context = context;
    this.#tools = tools;
    this.#layout = createLayout(job.dataDir);
    this.#blobs = new Blobs(this.#layout, undefined, { isDurable: job.isDurable });
    const { isThorough } = job;
    const { signal } = context;
    this.#presence = new LayerPresence({ layout: this.#layout, blobs: this.#blobs, isThorough, signal });
    this.#unproven = new Set(job.unproven);
    this.#limits = unpackLimits(job.layers, job.maxUnpackRatio);
    this.#counts = new PullCounts(context.emit, tools.clock.monotonicMs);
    const { clock, awayRoom: room } = tools;
    this.#place = new PullPlace({ ask: context.ask, clock, room, layers: job.layers.length });
    this.#fetcher = new LayerFetcher({
      job,
      client: tools.client,
      access: new PullAccess({ job, ask: context.ask, createAdmission: tools.createAdmission }),
      layout: this.#layout,
      blobs: this.#blobs,
      counts: this.#counts,
      bandwidth: tools.bandwidth,
      onFailedTry: (failedTry) => context.emit({ failedTry }),
      onHostFailed: (failedHost: HostFailure) => context.emit({ failedHost }),
      commitOnce: (layer, commit) => this.#commitOnce(layer, commit),
      commitLayer: async (staged) => void (await context.ask(staged)),
    });
  }

  async run(): Promise<StagedTree> {
    try {
      return await this.#make();
    } catch (error) {
      throw diskErrorFrom(error, `pull ${this.#job.reference}`);
    } finally {
      this.#place.end();
      this.#counts.flush();
    }
  }

  /** Layers of which the disk has lost something since they were unpacked are fetched anew, once each. */
  async #make(): Promise<StagedTree> {
    const refetched = new Set<Digest>();
    const copies = new ModeCopies(this.#job.staging);
    for (;;) {
      await this.#fetchMissing();
      this.#context.signal.throwIfAborted();
      // To put files together takes next to nothing.
      if (this.#job.layers.some(({ kind }) => kind !== "file")) this.#tools.collectIfGrown();
      this.#counts.tell("assembling");
      try {
        const sources = await this.#fileSources(copies);
        const folder = join(this.#job.staging, `tree-${refetched.size}`);
        const { layers, isDurable } = this.#job;
        const tree = assembleTree(folder, { layers, isDurable, sources, layout: this.#layout, limits: this.#limits });
        return { ...tree, skippedEntries: this.#skippedEntries, refetched: [...refetched] };
      } catch (error) {
        if (!(error instanceof LostLayer) || refetched.has(error.digest)) {
          throw errorDuring(`pull ${this.#job.reference}`, error);
        }
        refetched.add(error.digest);
        // Without its index it does not count.
        rmSync(error.indexFile, { recursive: true, force: true });
      }
    }
  }

  async #fetchMissing(): Promise<void> {
    const missing = await this.#missing();
    this.#requireOnline(missing);
    this.#counts.expect(missing.reduce((sum, layer) => sum + layer.descriptor.size, 0));
    const { staging, maxUnpackRatio, concurrency, isDurable } = this.#job;
    const hasTars = missing.some((layer) => layer.kind !== "file");
    const tars = { staging, maxUnpackRatio, isDurable, limits: this.#limits };
    const unpacking = hasTars ? this.#tools.unpacker.beginPull(tars) : undefined;
    const pace = hasTars ? new LayerPace(concurrency) : undefined;
    const stop = new AbortController();
    const onAbort = () => stop.abort(this.#context.signal.reason);
    this.#context.signal.addEventListener("abort", onAbort, { once: true });
    if (this.#context.signal.aborted) onAbort();
    try {
      const queue = missing.values();
      const fetchNext = async () => {
        for (const layer of queue) {
          stop.signal.throwIfAborted();
          const begin = (steps?: LayerSteps) => this.#fetchOnce(layer, unpacking, { signal: stop.signal, ...steps });
          await (pace === undefined ? begin() : pace.run(stop.signal, begin));
        }
      };
      const atOnce = Math.min(pace?.size ?? concurrency, missing.length);
      const fetches = Array.from({ length: atOnce }, fetchNext);
      // The first failure stops the others; all of them have let go before the pull ends.
      for (const fetch of fetches) fetch.catch((error: unknown) => stop.abort(error));
      const failed = (await Promise.allSettled(fetches)).some((fetch) => fetch.status === "rejected");
      if (failed) throw stop.signal.reason;
    } finally {
      this.#context.signal.removeEventListener("abort", onAbort);
      unpacking?.end();
    }
  }

  #requireOnline([first]: readonly PlacedLayer[]): void {
    if (first === undefined || !this.#job.isOffline) return;
    const { reference } = this.#job;
    throw new DriverError(
      "not-found",
      `layer ${first.descriptor.digest} of ${reference} is not, or not whole, in this node's cache, ` +
        "and nothing may be fetched for it now",
    );
  }

  /** Each layer that has to be fetched, once per digest and kind: the cache lacks it, or the repository never gave it. */
  async #missing(): Promise<readonly PlacedLayer[]> {
    const byKey = new Map(this.#job.layers.map((layer) => [`${layer.kind} ${layer.descriptor.digest}`, layer]));
    const missing: PlacedLayer[] = [];
    for (const layer of byKey.values()) {
      if (this.#unproven.has(layer.descriptor.digest) || !(await this.#presence.has(layer))) missing.push(layer);
    }
    return missing;
  }

  /** Fetches a layer unless another pull did so meanwhile: one ingest file for an origin's blob, so one fetch at a time. */
  async #fetchOnce(
    layer: PlacedLayer,
    unpacking: PullUnpacking | undefined,
    how: Omit<FetchOptions, "turn">,
  ): Promise<void> {
    const { signal } = how;
    const turn = this.#place.begin(signal);
    try {
      turn.idle("pull");
      await this.#tools.fetching.run(
        `${layer.descriptor.digest} ${downloadOrigin(this.#job)}`,
        async () => {
          await turn.busy();
          const { digest, size } = layer.descriptor;
          if (await this.#lacks(layer)) await this.#fetchMissingLayer(layer, unpacking, { ...how, turn });
          else if (this.#unproven.has(digest)) await this.#fetcher.fetchProof(layer, { ...how, turn });
          else this.#counts.advance(size);
          if (this.#unproven.delete(digest)) await this.#context.ask({ given: digest });
        },
        signal,
      );
    } finally {
      turn.over();
    }
  }

  /** What another origin gave meanwhile stays: trees that link to it would else keep its bytes beside the new ones. */
  async #commitOnce(layer: PlacedLayer, commit: () => Promise<void>): Promise<boolean> {
    const commitIfMissing = async () => {
      const isMissing = await this.#lacks(layer);
      if (isMissing) await commit();
      return isMissing;
    };
    if (!this.#job.isDurable) return await commitIfMissing();
    return await this.#tools.committing.run(layer.descriptor.digest, commitIfMissing, this.#context.signal);
  }

  /** Whether a layer that was missing still is. Nobody else puts anything into a cache that is thrown away. */
  async #lacks(layer: PlacedLayer): Promise<boolean> {
    return !this.#job.isDurable || !(await this.#presence.has(layer));
  }

  async #fetchMissingLayer(layer: PlacedLayer, unpacking: PullUnpacking | undefined, how: FetchOptions): Promise<void> {
    if (layer.kind === "file" || unpacking === undefined) return await this.#fetcher.fetchFile(layer, how);
    this.#skippedEntries += await this.#fetcher.fetchTar(layer, unpacking, how);
  }

  /** What files that are to have another mode than their blobs are linked from. */
  async #fileSources(copies: ModeCopies): Promise<ReadonlyMap<PlacedLayer, string>> {
    const sources = new Map<PlacedLayer, string>();
    for (const layer of this.#job.layers) {
      const { mode } = layer;
      const blob = this.#layout.blob(layer.descriptor.digest);
      if (mode !== undefined) sources.set(layer, await copies.copyOf({ blob, mode }, this.#context.signal));
    }
    return sources;
  }
}
