import type { Digest } from "../oci/index.ts";
import type { Cleanups } from "./cleanups.ts";
import type { Contents } from "./contents.ts";
import { listDamagedFiles } from "./damaged-files.ts";
import { type DiskUse, isSome, nothingUsed, sumOfUses } from "./disk-space.ts";
import type { EvictReason, Eviction, Evictor } from "./evictor.ts";
import type { Inventory } from "./inventory.ts";
import type { Layout, TreeId } from "./layout.ts";
import { sureAgeMs } from "./moment.ts";
import type { Partials } from "./partials.ts";
import type { Sweeper } from "./sweeper.ts";
import type { WatchedClock } from "./watched-clock.ts";

/** What was taken away. */
export interface Collected extends DiskUse {
  readonly trees: number;
}

/** How much has to go. */
export type Excess = () => Promise<DiskUse>;

/** What a run takes from. */
export interface EvictionRunOptions {
  readonly layout: Layout;
  readonly evictor: Evictor;
  readonly contents: Contents;
  readonly partials: Partials;
  readonly inventory: Inventory;
  readonly cleanups: Cleanups;
  readonly sweeper: Sweeper;
  readonly clock: WatchedClock;
}

/** What nobody asks for goes after so long in any case: unfinished downloads, and layers that became no tree. */
const UNWANTED_MS = 24 * 60 * 60_000;

/** Takes things away, in the order in which they are missed least, and counts them: one run of a collection. */
export class EvictionRun {
  readonly #options: EvictionRunOptions;
  readonly #isStopped: () => boolean;
  #trees = 0;
  #use = nothingUsed;

  /** Takes nothing more on to reduce what there is once `isStopped` says so. */
  constructor(options: EvictionRunOptions, isStopped: () => boolean) {
    this.#options = options;
    this.#isStopped = isStopped;
  }

  /** What went so far. */
  get collected(): Collected {
    return { trees: this.#trees, ...this.#use };
  }

  /** Takes a tree away if its time is up. */
  async cleanUp(id: TreeId): Promise<void> {
    const { cleanups, evictor } = this.#options;
    if (cleanups.isDue(id)) this.#addTree(await evictor.evictTree(id, "cleanup"));
  }

  /** Takes away what goes whether or not there is room: trees that no volume had for so long, and what nobody needs. */
  async dropOld(ttlMs: number | undefined): Promise<void> {
    const { inventory, cleanups, evictor, partials, clock } = this.#options;
    for (const id of cleanups.due()) {
      const eviction = await evictor.evictTree(id, "cleanup");
      if (eviction.outcome === "unknown") await cleanups.forget(id);
      this.#addTree(eviction);
    }
    for (const id of inventory.withoutRecord()) await evictor.dropFolder(id);
    for (const partial of await partials.list())
      if (partial.restedMs >= UNWANTED_MS || (await partials.isSpent(partial)))
        this.#add(await evictor.dropPartial(partial, "ttl"));
    for (const content of await evictor.unneeded(UNWANTED_MS))
      if (content.came !== undefined && sureAgeMs(clock, content.came) >= UNWANTED_MS)
        this.#add(await evictor.dropContent(content, "ttl"));
    if (ttlMs === undefined) return;
    for (const { id } of inventory.byLastUse()) {
      if (inventory.unusedMs(id) < ttlMs) break;
      this.#addTree(await evictor.evictTree(id, "ttl"));
    }
  }

  /** Takes away what there is of some digests, unless a tree is made of it or a pull wants it. */
  async dropUnused(wanted: ReadonlySet<Digest>, reason: EvictReason): Promise<void> {
    const { evictor, partials, contents } = this.#options;
    for (const partial of await partials.list())
      if (wanted.has(partial.digest)) this.#add(await evictor.dropPartial(partial, reason));
    for (const content of contents.withoutTree())
      if (wanted.has(content.digest)) this.#add(await evictor.dropContent(content, reason));
  }

  /**
   * Takes away until nothing is too much any more: first what nobody wants, then trees, the longest unused first. What is
   * freed is a guess until it is freed, so it is measured anew whenever the guess says that it is enough.
   */
  async reduce(excess: Excess, reason: EvictReason, manifestAgeMs = UNWANTED_MS): Promise<void> {
    const { sweeper } = this.#options;
    let left = await excess();
    if (!isSome(left)) return;
    let freed = nothingUsed;
    for await (const use of this.#takeInOrder(reason, manifestAgeMs)) {
      if (this.#isStopped()) return;
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
  async *#takeInOrder(reason: EvictReason, manifestAgeMs: number): AsyncGenerator<DiskUse> {
    const { layout, evictor, partials, inventory } = this.#options;
    // Their files are links to what follows, which frees nothing while they are there.
    for (const id of inventory.withoutRecord()) await evictor.dropFolder(id);
    for (const file of await listDamagedFiles(layout)) yield this.#add(await evictor.dropDamaged(file, reason));
    for (const partial of await partials.list()) yield this.#add(await evictor.dropPartial(partial, reason));
    for (const content of await evictor.unneeded(manifestAgeMs))
      yield this.#add(await evictor.dropContent(content, reason));
    for (const { id } of inventory.byLastUse()) yield this.#addTree(await evictor.evictTree(id, reason));
  }

  #add(freed: DiskUse): DiskUse {
    this.#use = sumOfUses([this.#use, freed]);
    return freed;
  }

  #addTree({ outcome, freed }: Eviction): DiskUse {
    if (outcome === "evicted") this.#trees++;
    return this.#add(freed);
  }
}
