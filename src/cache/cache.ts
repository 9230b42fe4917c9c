import { randomUUID } from "node:crypto";
import { promises as fs } from "node:fs";
import { basename, join } from "node:path";
import { type Clock, describeError, KeyedLock, type Logger, unlessMissing } from "../base/index.ts";
import type { Descriptor, Digest } from "../oci/index.ts";
import { Blobs } from "./blobs.ts";
import { Cleanups } from "./cleanups.ts";
import { Collector } from "./collector.ts";
import { Contents } from "./contents.ts";
import { type DataDir, openDataDir } from "./data-dir.ts";
import { type EvictionObserver, Evictor } from "./evictor.ts";
import { Inventory } from "./inventory.ts";
import { commitLayer, hasLayer, type LayerForm, type StagedLayer } from "./layers.ts";
import type { Layout, TreeId } from "./layout.ts";
import { Leases } from "./leases.ts";
import { type CacheLimits, defaultCacheLimits } from "./limits.ts";
import { Names } from "./names.ts";
import { Partials } from "./partials.ts";
import { Pins } from "./pins.ts";
import { ReferencePruner } from "./reference-pruner.ts";
import { References } from "./references.ts";
import { Room } from "./room.ts";
import { Sweeper } from "./sweeper.ts";
import { type MendTree, type Tree, type TreeFacts, Trees } from "./trees.ts";
import { WatchedClock } from "./watched-clock.ts";

/** What a cache needs from outside. */
export interface CacheOptions {
  /** Absolute path; the caller holds the lock on it. */
  readonly dataDir: string;
  /** Makes everything written so far to the file system at a path durable (syncfs). Undefined: the cache is thrown away. */
  readonly syncFileSystem: ((path: string) => Promise<void>) | undefined;
  /** The contract's defaults if left out. */
  readonly limits?: CacheLimits;
  readonly observer?: EvictionObserver;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The store on disk, opened: one for each data dir and process. */
export class Cache {
  readonly blobs: Blobs;
  readonly trees: Trees;
  readonly references: References;
  readonly names: Names;
  readonly dataDir: DataDir;
  readonly sweeper: Sweeper;
  readonly leases = new Leases();
  readonly pins: Pins;
  readonly inventory: Inventory;
  readonly cleanups: Cleanups;
  readonly collector: Collector;
  readonly room: Room;
  readonly limits: CacheLimits;
  #onMended: (id: TreeId) => Promise<void> = () => Promise.resolve();
  /** Whether what is in it survives a power cut. */
  readonly isDurable: boolean;
  readonly #committing = new KeyedLock();
  #cleaning: Promise<void> = Promise.resolve();
  readonly #syncFileSystem: (path: string) => Promise<void>;

  private constructor(dataDir: DataDir, clock: WatchedClock, options: Omit<CacheOptions, "clock">) {
    const { log } = options;
    this.dataDir = dataDir;
    this.sweeper = new Sweeper(dataDir.layout.tmp, log);
    this.isDurable = options.syncFileSystem !== undefined;
    this.blobs = new Blobs(dataDir.layout, log, { isDurable: this.isDurable });
    this.trees = new Trees(dataDir, clock);
    this.references = new References(dataDir, clock);
    this.names = new Names(dataDir.layout, log);
    this.#syncFileSystem = options.syncFileSystem ?? (() => Promise.resolve());
    const { sweeper, leases, blobs } = this;
    const { layout } = dataDir;
    const pins = new Pins(dataDir, clock);
    const contents = new Contents({ dataDir, sweeper, clock });
    const cleanups = new Cleanups({ dataDir, onDue: (id) => this.#cleanUp(id, log), clock, log });
    const inventory = new Inventory({ dataDir, contents, pins, cleanups, trees: this.trees, clock, log });
    const { observer, limits = defaultCacheLimits } = options;
    const stored = { dataDir, blobs, leases, pins, cleanups, contents, inventory, sweeper };
    const evictor = new Evictor({ ...stored, observer, clock, log });
    const partials = new Partials(layout, clock);
    this.limits = limits;
    this.pins = pins;
    this.inventory = inventory;
    this.cleanups = cleanups;
    const isStored = (content: Digest | TreeId) => contents.has(content as Digest) || inventory.has(content as TreeId);
    const pruner = new ReferencePruner({ dataDir, references: this.references, isStored, clock });
    const { names } = this;
    const collected = { names, pruner, layout, evictor, contents, partials, inventory, cleanups, sweeper, limits };
    this.collector = new Collector({ ...collected, clock, log });
    this.room = new Room({ collector: this.collector, sweeper, layout, limits, clock });
  }

  /** Opens the data dir; what an earlier run staged is deleted in the background. Its downloads are gone on with. */
  static async open(options: CacheOptions): Promise<Cache> {
    const isDurable = options.syncFileSystem !== undefined;
    const dataDir = await openDataDir(options.dataDir, options.log, { isDurable });
    const cache = new Cache(dataDir, await WatchedClock.open(dataDir, options.clock), options);
    if (!cache.dataDir.isNewer) await cache.sweeper.sweepLeftovers();
    return cache;
  }

  get layout(): Layout {
    return this.dataDir.layout;
  }

  /** Whether a layer is there in the form that a tree needs it in: as a blob, or unpacked. */
  async hasContent(descriptor: Pick<Descriptor, "digest" | "size">, form: LayerForm): Promise<boolean> {
    if (form !== "blob") return hasLayer(this.layout, descriptor.digest, form);
    // A cache that is thrown away is one caller's, who has nothing else to do meanwhile.
    return this.isDurable ? this.blobs.has(descriptor) : this.blobs.hasSync(descriptor);
  }

  /** How much of each download from an origin is on disk already: one look, however many are asked for. */
  async partials(origin: string): Promise<(digest: Digest) => Promise<number>> {
    const names = new Set(await unlessMissing(fs.readdir(this.layout.ingest)));
    return async (digest) => {
      const file = this.layout.ingestFile(digest, origin);
      if (!names.has(basename(file))) return 0;
      return ((await unlessMissing(fs.lstat(file)))?.blocks ?? 0) * 512;
    };
  }

  /** Runs `work` with a fresh folder in tmp/ for what is half-made; what is left in it goes when the work ends. */
  async withStaging<T>(work: (folder: string) => Promise<T>): Promise<T> {
    const folder = join(this.layout.tmp, randomUUID());
    await fs.mkdir(folder, { mode: 0o700 });
    try {
      return await work(folder);
    } finally {
      await this.sweeper.discard(folder);
    }
  }

  /** Makes a layer that was staged in tmp/ durable, then visible. */
  async commitLayer(staged: StagedLayer): Promise<void> {
    await this.#syncFileSystem(staged.folder);
    await commitLayer(this.dataDir, this.sweeper, staged);
  }

  /**
   * Makes a tree that was staged in tmp/ durable, then visible. One that is there by now and whole stays instead; one that
   * is damaged stays where it is mounted, and is mended, or left as it is without `mend`.
   */
  async commitTree(id: TreeId, staged: string, facts: TreeFacts, mend?: MendTree): Promise<Tree> {
    await this.#syncFileSystem(staged);
    using _ = await this.leases.hold(id);
    return await this.#committing.run(id, async () => {
      const found = await this.trees.find(id);
      if (found !== undefined && found.damage === undefined) return found;
      const tree = await this.trees.commit(id, staged, facts, async (from, to) => {
        await mend?.(from, to);
        await this.#syncFileSystem(to);
      });
      this.inventory.add({ id, ...facts });
      if (found !== undefined) await this.#onMended(id);
      return tree;
    });
  }

  #cleanUp(id: TreeId, log: Logger): void {
    this.#cleaning = this.collector
      .cleanUp(id)
      .catch((error: unknown) => log.warn("cannot remove a tree", { tree: id, reason: describeError(error) }));
  }

  /** From now on `onMended` is told of each tree that was mended, before whoever had it mended goes on. */
  followMending(onMended: (id: TreeId) => Promise<void>): void {
    this.#onMended = onMended;
  }

  /** Stops background work. */
  async close(): Promise<void> {
    this.cleanups.close();
    const collected = this.collector.close();
    // Collections wait for what they took away to be gone.
    await this.sweeper.close();
    await Promise.all([collected, this.#cleaning]);
    await this.inventory.close();
  }
}
