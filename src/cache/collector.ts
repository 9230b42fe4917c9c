import { describeError, type Logger, Semaphore } from "../base/index.ts";
import type { Digest } from "../oci/index.ts";
import { type CacheUsage, type Fullness, UsageMeter, type UsageMeterOptions } from "./cache-usage.ts";
import { type DiskUse, isSome } from "./disk-space.ts";
import { type Collected, EvictionRun, type EvictionRunOptions, type Excess } from "./eviction-run.ts";
import type { EvictReason, Eviction } from "./evictor.ts";
import type { TreeId } from "./layout.ts";
import type { Names } from "./names.ts";
import type { ReferencePruner } from "./reference-pruner.ts";

/** What a collector works on. */
export interface CollectorOptions extends UsageMeterOptions, EvictionRunOptions {
  readonly names: Names;
  readonly pruner: ReferencePruner;
  readonly log: Logger;
}

/** How often what registries told is looked through. */
const PRUNE_REFERENCES_MS = 24 * 60 * 60_000;
/** Who prunes by hand wants all of it gone, but no pull to fail that is about to begin. */
const PRUNED_MANIFEST_MS = 10 * 60_000;
/** How often it is looked whether there is something to do. */
const PERIOD_MS = 60_000;
/** A start has more urgent things to read first. */
const FIRST_AFTER_MS = 10_000;

/** Who asks whether the cache is full gets what was found so long ago at most, where it may have changed since. */
const LOOK_AGAIN_MS = 10_000;

/** Decides what the cache need not keep, and has it taken away: one collection at a time. */
export class Collector {
  readonly #options: CollectorOptions;
  readonly #meter: UsageMeter;
  readonly #turn = new Semaphore(1);
  #cancelNext: (() => void) | undefined;
  #running: Promise<unknown> = Promise.resolve();
  #closed = false;
  #timesTaken = 0;
  #pruneAgainMs = Number.NEGATIVE_INFINITY;
  #judgedMs = Number.NEGATIVE_INFINITY;
  #lastUsage: CacheUsage | undefined;
  #fullness: Fullness | undefined;

  constructor(options: CollectorOptions) {
    this.#options = options;
    this.#meter = new UsageMeter(options);
  }

  /** From now on counts what pods wrote into their volumes. */
  followUppers(use: () => DiskUse): void {
    this.#meter.followUppers(use);
  }

  /** What the cache took after the last collection by the clock. */
  get lastUsage(): CacheUsage | undefined {
    return this.#lastUsage;
  }

  /** How often something was taken away so far, whoever wanted it gone. */
  get timesTaken(): number {
    return this.#timesTaken;
  }

  /** Set while the cache was too full after the last collection by the clock. */
  get fullness(): Fullness | undefined {
    return this.#fullness;
  }

  /** The same as it is now: where it may have changed, it is collected first, for at most so long. */
  async lookFull(patienceMs: number): Promise<Fullness | undefined> {
    const { limits, clock } = this.#options;
    const isAbove = isSome(await this.#meter.overMark(limits.highPercent));
    const isKnown = isAbove === (this.#fullness !== undefined && this.#fullness.by !== "max-bytes");
    if (!isKnown && clock.monotonicMs() - this.#judgedMs >= LOOK_AGAIN_MS) {
      const ended = this.#collectByClock();
      await new Promise<void>((resolve) => {
        const cancel = clock.after(patienceMs, resolve);
        void ended.then(cancel).then(resolve);
      });
    }
    return this.#fullness;
  }

  /** Collects by the clock from now on. */
  start(firstAfterMs = FIRST_AFTER_MS): void {
    this.#cancelNext = this.#options.clock.after(firstAfterMs, () => {
      this.#running = this.#collectByClock().finally(() => {
        if (!this.#closed) this.start(PERIOD_MS);
      });
    });
  }

  /** Stops after what is being taken away; the sweeper must be closed, too, as it is waited for. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelNext?.();
    await this.#running;
  }

  /** What the cache takes, measured anew as far as it changed. */
  usage(): Promise<CacheUsage> {
    return this.#meter.usage();
  }

  /** Takes one tree away with all that only it is made of, unless it has a lease or a pin. Its bytes are freed soon after. */
  async evict(id: TreeId, reason: EvictReason): Promise<Eviction> {
    await this.#options.inventory.load();
    await this.#options.contents.refresh();
    const eviction = await this.#options.evictor.evictTree(id, reason);
    if (eviction.outcome !== "evicted") return eviction;
    this.#timesTaken++;
    await this.#options.names.removeDangling();
    return eviction;
  }

  /** Takes a tree away whose time is up, if it still is when its turn comes. */
  async cleanUp(id: TreeId): Promise<void> {
    await this.#inTurn((run) => run.cleanUp(id));
  }

  /** Takes away all that has neither lease nor pin. */
  prune(): Promise<Collected> {
    const all = async () => ({ bytes: Number.POSITIVE_INFINITY, inodes: 0 });
    return this.#inTurn((run) => run.reduce(all, "prune", PRUNED_MANIFEST_MS));
  }

  /** Collects as the limits say: what is too old, then what is too much. */
  collect(): Promise<Collected> {
    return this.#inTurn(async (run) => {
      const { highPercent, lowPercent, ttlMs } = this.#options.limits;
      const meter = this.#meter;
      await run.dropOld(ttlMs);
      if (isSome(await meter.overMark(highPercent))) {
        const overLow = () => meter.beyondShare(() => meter.overMark(lowPercent));
        await run.reduce(overLow, "high-mark");
      }
      await run.reduce(() => meter.overMaxBytes(), "max-bytes");
      await this.#judge();
      await this.#pruneReferences();
      await this.#noteClock();
    });
  }

  /** Takes away until `excess` says that nothing is too much any more, or nothing is left that may go. */
  reduce(reason: EvictReason, excess: Excess): Promise<Collected> {
    return this.#inTurn((run) => run.reduce(excess, reason));
  }

  /** How much of an excess may go, where others may have filled the file system: a share of it is the cache's. */
  beyondShare(excess: Excess): Promise<DiskUse> {
    return this.#meter.beyondShare(excess);
  }

  /** Takes away what there is of some digests, unless a tree is made of it or a pull wants it. */
  async dropUnused(digests: Iterable<Digest>, reason: EvictReason): Promise<void> {
    const wanted = new Set(digests);
    await this.#inTurn((run) => run.dropUnused(wanted, reason));
  }

  /** One at a time, and only when all that is there is known. */
  async #inTurn(work: (run: EvictionRun) => Promise<void>): Promise<Collected> {
    const { inventory, contents, names } = this.#options;
    const release = await this.#turn.acquire();
    const run = new EvictionRun(this.#options, () => this.#closed);
    try {
      await inventory.load();
      await contents.refresh();
      await work(run);
      if (run.collected.trees > 0) await names.removeDangling();
      return run.collected;
    } finally {
      if (isSome(run.collected)) this.#timesTaken++;
      release();
    }
  }

  async #collectByClock(): Promise<void> {
    try {
      await this.collect();
    } catch (error) {
      this.#options.log.warn("cannot collect what the cache need not keep", { reason: describeError(error) });
    }
  }

  /** A disk that takes no file for it is no reason to end a collection early. */
  async #noteClock(): Promise<void> {
    const { clock, log } = this.#options;
    try {
      await clock.note();
    } catch (error) {
      log.warn("cannot note what the node's clocks say", { reason: describeError(error) });
    }
  }

  /** Once a day, and when a driver begins. */
  async #pruneReferences(): Promise<void> {
    const { pruner, clock } = this.#options;
    if (clock.monotonicMs() < this.#pruneAgainMs) return;
    this.#pruneAgainMs = clock.monotonicMs() + PRUNE_REFERENCES_MS;
    await pruner.prune();
  }

  async #judge(): Promise<void> {
    const { log, clock } = this.#options;
    const usage = await this.#meter.usage();
    const fullness = this.#meter.fullnessOf(usage);
    if (fullness !== undefined && this.#fullness?.by !== fullness.by) {
      const { by, isByOthers } = fullness;
      log[isByOthers ? "info" : "warn"]("the cache is too full, and nothing of it can go", { by, isByOthers });
    }
    this.#lastUsage = usage;
    this.#judgedMs = clock.monotonicMs();
    this.#fullness = fullness;
  }
}
