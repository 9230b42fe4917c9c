import { describeError, type Logger, Semaphore } from "../base/index.ts";
import type { Digest } from "../oci/index.ts";
import type { Cleanups } from "./cleanups.ts";
import type { Contents } from "./contents.ts";
import {
  type DiskSpace,
  type DiskUse,
  excessOver,
  isSome,
  nothingUsed,
  readDiskSpace,
  sumOfUses,
} from "./disk-space.ts";
import type { EvictReason, Eviction, Evictor } from "./evictor.ts";
import type { Inventory } from "./inventory.ts";
import type { Layout, TreeId } from "./layout.ts";
import type { CacheLimits } from "./limits.ts";
import { sureAgeMs } from "./moment.ts";
import type { Names } from "./names.ts";
import type { Partials } from "./partials.ts";
import type { ReferencePruner } from "./reference-pruner.ts";
import type { Sweeper } from "./sweeper.ts";
import type { WatchedClock } from "./watched-clock.ts";

/** What the cache takes on disk, and how full its file system is. */
export interface CacheUsage {
  /** Manifests and file layers. */
  readonly blobs: DiskUse;
  /** Unpacked tar layers. */
  readonly layers: DiskUse;
  /** Downloads under way or left for later. */
  readonly partials: DiskUse;
  /** What pods wrote into their volumes. */
  readonly uppers: DiskUse;
  readonly total: DiskUse;
  readonly fileSystem: DiskSpace;
}

/** Why the cache is full, after all went that may go. */
export interface Fullness {
  readonly by: "bytes" | "inodes" | "max-bytes";
  /** Whether it is others that fill the file system: the cache has no more than what collection leaves to it. */
  readonly isByOthers: boolean;
  readonly usage: CacheUsage;
}

/** What was taken away. */
export interface Collected extends DiskUse {
  readonly trees: number;
}

/** What a collector works on. */
export interface CollectorOptions {
  readonly layout: Layout;
  readonly evictor: Evictor;
  readonly contents: Contents;
  readonly partials: Partials;
  readonly inventory: Inventory;
  readonly cleanups: Cleanups;
  readonly names: Names;
  readonly pruner: ReferencePruner;
  readonly sweeper: Sweeper;
  readonly limits: CacheLimits;
  readonly clock: WatchedClock;
  readonly log: Logger;
}

/** What nobody asks for goes after so long in any case: unfinished downloads, and layers that became no tree. */
const UNWANTED_MS = 24 * 60 * 60_000;
/** Who prunes by hand wants all of it gone, but no pull to fail that is about to begin. */
const PRUNED_MANIFEST_MS = 10 * 60_000;
/** How often it is looked whether there is something to do. */
const PERIOD_MS = 60_000;
/** A start has more urgent things to read first. */
const FIRST_AFTER_MS = 10_000;

/** Who asks whether the cache is full gets what was found so long ago at most, where it may have changed since. */
const LOOK_AGAIN_MS = 10_000;

/** How much has to go. */
type Excess = () => Promise<DiskUse>;

/** Decides what the cache need not keep, and has it taken away: one collection at a time. */
export class Collector {
  readonly #options: CollectorOptions;
  readonly #turn = new Semaphore(1);
  #uppers: () => DiskUse = () => nothingUsed;
  #cancelNext: (() => void) | undefined;
  #running: Promise<unknown> = Promise.resolve();
  #closed = false;
  #pruneAgainMs = Number.NEGATIVE_INFINITY;
  #judgedMs = Number.NEGATIVE_INFINITY;
  #lastUsage: CacheUsage | undefined;
  #fullness: Fullness | undefined;

  constructor(options: CollectorOptions) {
    this.#options = options;
  }

  /** From now on counts what pods wrote into their volumes. */
  followUppers(use: () => DiskUse): void {
    this.#uppers = use;
  }

  /** What the cache took after the last collection by the clock. */
  get lastUsage(): CacheUsage | undefined {
    return this.#lastUsage;
  }

  /** Set while the cache was too full after the last collection by the clock. */
  get fullness(): Fullness | undefined {
    return this.#fullness;
  }

  /** The same as it is now: where it may have changed, it is collected first, for at most so long. */
  async lookFull(patienceMs: number): Promise<Fullness | undefined> {
    const { limits, clock } = this.#options;
    const isAbove = isSome(await this.#overMark(limits.highPercent));
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
  async usage(): Promise<CacheUsage> {
    const { layout, contents, partials, inventory } = this.#options;
    await inventory.load();
    await contents.refresh();
    const { blobs, layers } = contents.use();
    const downloads = sumOfUses((await partials.list()).map(({ use }) => use));
    const uppers = this.#uppers();
    const total = sumOfUses([blobs, layers, downloads, uppers]);
    return { blobs, layers, partials: downloads, uppers, total, fileSystem: await readDiskSpace(layout.dataDir) };
  }

  /** Takes one tree away with all that only it is made of, unless it has a lease or a pin. Its bytes are freed soon after. */
  async evict(id: TreeId, reason: EvictReason): Promise<Eviction> {
    await this.#options.inventory.load();
    await this.#options.contents.refresh();
    const eviction = await this.#options.evictor.evictTree(id, reason);
    if (eviction.outcome === "evicted") await this.#options.names.removeDangling();
    return eviction;
  }

  /** Takes a tree away whose time is up, if it still is when its turn comes. */
  async cleanUp(id: TreeId): Promise<void> {
    await this.#inTurn(async (gone) => {
      const { cleanups, evictor } = this.#options;
      if (cleanups.isDue(id)) gone.addTree(await evictor.evictTree(id, "cleanup"));
    });
  }

  /** Takes away all that has neither lease nor pin. */
  prune(): Promise<Collected> {
    const all = async () => ({ bytes: Number.POSITIVE_INFINITY, inodes: 0 });
    return this.#inTurn((gone) => this.#reduce(gone, all, "prune", PRUNED_MANIFEST_MS));
  }

  /** Collects as the limits say: what is too old, then what is too much. */
  collect(): Promise<Collected> {
    return this.#inTurn(async (gone) => {
      await this.#dropOld(gone);
      const { highPercent, lowPercent } = this.#options.limits;
      if (isSome(await this.#overMark(highPercent))) {
        const overLow = () => this.beyondShare(() => this.#overMark(lowPercent));
        await this.#reduce(gone, overLow, "high-mark");
      }
      await this.#reduce(gone, () => this.#overMaxBytes(), "max-bytes");
      await this.#judge();
      await this.#pruneReferences();
      await this.#noteClock();
    });
  }

  /** Takes away until `excess` says that nothing is too much any more, or nothing is left that may go. */
  reduce(reason: EvictReason, excess: Excess): Promise<Collected> {
    return this.#inTurn((gone) => this.#reduce(gone, excess, reason));
  }

  /** How much of an excess may go, where others may have filled the file system: a share of it is the cache's. */
  async beyondShare(excess: Excess): Promise<DiskUse> {
    const over = await excess();
    if (!isSome(over)) return over;
    return this.#beyondShareOf(over, await this.usage());
  }

  /** Takes away what there is of some digests, unless a tree is made of it or a pull wants it. */
  async dropUnused(digests: Iterable<Digest>, reason: EvictReason): Promise<void> {
    const wanted = new Set(digests);
    await this.#inTurn(async (gone) => {
      const { evictor, partials, contents } = this.#options;
      for (const partial of await partials.list())
        if (wanted.has(partial.digest)) gone.add(await evictor.dropPartial(partial, reason));
      for (const content of contents.withoutTree())
        if (wanted.has(content.digest)) gone.add(await evictor.dropContent(content, reason));
    });
  }

  /** One at a time, and only when all that is there is known. */
  async #inTurn(work: (gone: Tally) => Promise<void>): Promise<Collected> {
    const { inventory, contents, names } = this.#options;
    const release = await this.#turn.acquire();
    try {
      await inventory.load();
      await contents.refresh();
      const gone = new Tally();
      await work(gone);
      if (gone.collected.trees > 0) await names.removeDangling();
      return gone.collected;
    } finally {
      release();
    }
  }

  /** What goes whether or not there is room. */
  async #dropOld(gone: Tally): Promise<void> {
    const { inventory, cleanups, evictor, partials, limits, clock } = this.#options;
    const { ttlMs } = limits;
    for (const id of cleanups.due()) {
      const eviction = await evictor.evictTree(id, "cleanup");
      if (eviction.outcome === "unknown") await cleanups.forget(id);
      gone.addTree(eviction);
    }
    for (const id of inventory.withoutRecord()) await evictor.dropFolder(id);
    for (const partial of await partials.list())
      if (partial.restedMs >= UNWANTED_MS) gone.add(await evictor.dropPartial(partial, "ttl"));
    for (const content of await evictor.unneeded(UNWANTED_MS))
      if (content.came !== undefined && sureAgeMs(clock, content.came) >= UNWANTED_MS)
        gone.add(await evictor.dropContent(content, "ttl"));
    if (ttlMs === undefined) return;
    for (const { id } of inventory.byLastUse()) {
      if (inventory.unusedMs(id) < ttlMs) break;
      gone.addTree(await evictor.evictTree(id, "ttl"));
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
    this.#pruneAgainMs = clock.monotonicMs() + UNWANTED_MS;
    await pruner.prune();
  }

  async #judge(): Promise<void> {
    const { log, limits } = this.#options;
    const usage = await this.usage();
    const { bytes, inodes } = excessOver(limits.highPercent, usage.fileSystem);
    const isAboveMax = limits.maxBytes !== undefined && usage.total.bytes > limits.maxBytes;
    const over = bytes > 0 ? "bytes" : inodes > 0 ? "inodes" : isAboveMax ? "max-bytes" : undefined;
    // What is empty is not full, whatever others do.
    const by = usage.total.bytes > 0 ? over : undefined;
    const isByOthers = by !== "max-bytes" && !isSome(this.#beyondShareOf({ bytes, inodes }, usage));
    if (by !== undefined && this.#fullness?.by !== by)
      log[isByOthers ? "info" : "warn"]("the cache is too full, and nothing of it can go", { by, isByOthers });
    this.#lastUsage = usage;
    this.#judgedMs = this.#options.clock.monotonicMs();
    this.#fullness = by === undefined ? undefined : { by, isByOthers, usage };
  }

  #beyondShareOf(over: DiskUse, { total, fileSystem }: CacheUsage): DiskUse {
    const share = this.#options.limits.minPercent / 100;
    return {
      bytes: Math.min(over.bytes, Math.max(0, Math.ceil(total.bytes - share * fileSystem.totalBytes))),
      inodes: Math.min(over.inodes, Math.max(0, Math.ceil(total.inodes - share * fileSystem.totalInodes))),
    };
  }

  async #overMark(percent: number): Promise<DiskUse> {
    return excessOver(percent, await readDiskSpace(this.#options.layout.dataDir));
  }

  async #overMaxBytes(): Promise<DiskUse> {
    const { maxBytes } = this.#options.limits;
    if (maxBytes === undefined) return nothingUsed;
    const { total } = await this.usage();
    return { bytes: Math.max(0, total.bytes - maxBytes), inodes: 0 };
  }

  /**
   * Takes away until nothing is too much any more: first what nobody wants, then trees, the longest unused first. What is
   * freed is a guess until it is freed, so it is measured anew whenever the guess says that it is enough.
   */
  async #reduce(gone: Tally, excess: Excess, reason: EvictReason, manifestAgeMs = UNWANTED_MS): Promise<void> {
    const { sweeper } = this.#options;
    let left = await excess();
    if (!isSome(left)) return;
    let freed = nothingUsed;
    for await (const use of this.#takeInOrder(gone, reason, manifestAgeMs)) {
      if (this.#closed) return;
      freed = sumOfUses([freed, use]);
      if (freed.bytes < left.bytes || freed.inodes < left.inodes) continue;
      await sweeper.idle();
      left = await excess();
      if (!isSome(left)) return;
      freed = nothingUsed;
    }
    await sweeper.idle();
  }

  /** Takes one thing after the other and tells what it frees, for as long as more is asked for. */
  async *#takeInOrder(gone: Tally, reason: EvictReason, manifestAgeMs: number): AsyncGenerator<DiskUse> {
    const { evictor, partials, inventory } = this.#options;
    for (const partial of await partials.list()) yield gone.add(await evictor.dropPartial(partial, reason));
    for (const content of await evictor.unneeded(manifestAgeMs))
      yield gone.add(await evictor.dropContent(content, reason));
    for (const { id } of inventory.byLastUse()) yield gone.addTree(await evictor.evictTree(id, reason));
  }
}

/** Counts what goes. */
class Tally {
  #trees = 0;
  #use = nothingUsed;

  get collected(): Collected {
    return { trees: this.#trees, ...this.#use };
  }

  add(freed: DiskUse): DiskUse {
    this.#use = sumOfUses([this.#use, freed]);
    return freed;
  }

  addTree({ outcome, freed }: Eviction): DiskUse {
    if (outcome === "evicted") this.#trees++;
    return this.add(freed);
  }
}
