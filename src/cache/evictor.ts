import type { Clock, Logger } from "../base/index.ts";
import { type Digest, parseManifest } from "../oci/index.ts";
import type { Blobs } from "./blobs.ts";
import type { Cleanups } from "./cleanups.ts";
import { type Content, type Contents, useOf } from "./contents.ts";
import type { DamagedFile } from "./damaged-files.ts";
import type { DataDir } from "./data-dir.ts";
import { type DiskUse, nothingUsed, sumOfUses } from "./disk-space.ts";
import type { Inventory } from "./inventory.ts";
import type { TreeId } from "./layout.ts";
import type { Leases } from "./leases.ts";
import { ageMs } from "./moment.ts";
import type { PartialDownload } from "./partials.ts";
import type { Pins } from "./pins.ts";
import type { Sweeper } from "./sweeper.ts";

/** Why something was taken away. */
export type EvictReason = "high-mark" | "max-bytes" | "ttl" | "cleanup" | "pull" | "prune" | "removed";

/** What became of the eviction of a tree; only if it is "evicted" anything was taken away. */
export interface Eviction {
  readonly outcome: "evicted" | "leased" | "pinned" | "unknown";
  /** What is freed, soon after. */
  readonly freed: DiskUse;
}

/** Hears what is taken away. */
export interface EvictionObserver {
  treeEvicted(reason: EvictReason): void;
  freed(reason: EvictReason, use: DiskUse): void;
}

/** What an evictor works on. */
export interface EvictorOptions {
  readonly dataDir: DataDir;
  readonly blobs: Blobs;
  readonly leases: Leases;
  readonly pins: Pins;
  readonly cleanups: Cleanups;
  readonly contents: Contents;
  readonly inventory: Inventory;
  readonly sweeper: Sweeper;
  readonly observer: EvictionObserver | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Deeper indexes are not followed by pulls either. */
const MAX_INDEX_DEPTH = 4;
/** What a tree itself has at least. */
const FOLDER_AND_RECORD = 2;
/** Of an index that names more, 4 MB of them, it is not kept what it names: pods choose how many there are. */
const MOST_NAMED = 100;
/** A larger blob is no manifest and no index. */
const MANIFEST_BYTES = 4 * 1024 * 1024;

/** Takes single things out of the cache, each as a whole and never under a lease. */
export class Evictor {
  readonly #options: EvictorOptions;
  /** What manifests and indexes among the blobs name, as far as that is little: others are read again. */
  readonly #named = new Map<Digest, readonly Digest[] | "no manifest" | "many">();

  constructor(options: EvictorOptions) {
    this.#options = options;
  }

  /** Takes a tree away with all that only it is made of, unless it has a lease or a pin. */
  async evictTree(id: TreeId, reason: EvictReason): Promise<Eviction> {
    const { dataDir, leases, pins, cleanups, inventory, sweeper, observer, log } = this.#options;
    const { layout } = dataDir;
    if (leases.count(id) > 0) return { outcome: "leased", freed: nothingUsed };
    const only = inventory.onlyIn(id);
    const itself = { bytes: inventory.copiedBytes(id), inodes: FOLDER_AND_RECORD };
    let outcome = "leased" as Eviction["outcome"];
    await leases.evict(id, async () => {
      outcome = inventory.get(id) === undefined ? "unknown" : pins.isPinned(id) ? "pinned" : "evicted";
      if (outcome !== "evicted") return;
      // Without its record it does not count: a crash in between leaves a folder that the next start takes away.
      await sweeper.discardOrEmpty(layout.treeRecord(id));
      inventory.delete(id);
      await sweeper.discardOrEmpty(layout.treeFolder(id));
      await cleanups.forget(id);
    });
    if (outcome !== "evicted") return { outcome, freed: nothingUsed };
    observer?.treeEvicted(reason);
    const freed: DiskUse[] = [itself];
    for (const content of only) freed.push(await this.dropContent(content, reason));
    const sum = sumOfUses(freed);
    log.info("a tree was taken out of the cache", { tree: id, reason, bytes: sum.bytes });
    return { outcome, freed: sum };
  }

  /** Takes bytes away that no tree is made of, unless a pull wants them. */
  async dropContent(content: Content, reason: EvictReason): Promise<DiskUse> {
    const { leases, contents } = this.#options;
    const freed = useOf(content);
    let dropped = false;
    await leases.evict(content.digest, async () => {
      // What was counted of it may be out of date: it may have gone and come again.
      if (contents.treesOf(content.digest) > 0) return;
      await contents.discard(content);
      dropped = true;
    });
    if (!dropped) return nothingUsed;
    this.#named.delete(content.digest);
    this.#options.observer?.freed(reason, freed);
    return freed;
  }

  /** Takes a download away that no pull wants. */
  async dropPartial({ digest, paths, use }: PartialDownload, reason: EvictReason): Promise<DiskUse> {
    const { leases, sweeper, observer } = this.#options;
    const dropped = await leases.evict(digest, async () => {
      for (const path of paths) await sweeper.discardOrEmpty(path);
    });
    if (!dropped) return nothingUsed;
    observer?.freed(reason, use);
    return use;
  }

  /** Takes a file with wrong bytes away. */
  async dropDamaged({ path, use }: DamagedFile, reason: EvictReason): Promise<DiskUse> {
    await this.#options.sweeper.discardOrEmpty(path);
    this.#options.observer?.freed(reason, use);
    return use;
  }

  /** Takes a folder of trees/ away that has no record, unless a volume shows it. */
  async dropFolder(id: TreeId): Promise<void> {
    const { dataDir, leases, pins, inventory, sweeper } = this.#options;
    await leases.evict(id, async () => {
      if (inventory.get(id) === undefined && !pins.isPinned(id))
        await sweeper.discardOrEmpty(dataDir.layout.treeFolder(id));
    });
  }

  /**
   * Bytes that no tree is made of, and that nobody else needs: not an index that names the manifest of a tree. A manifest
   * must be so old at least, as its pull may have to wait.
   */
  async unneeded(manifestAgeMs: number): Promise<readonly Content[]> {
    const { contents, leases, clock } = this.#options;
    const unneeded: Content[] = [];
    for (const content of contents.withoutTree()) {
      if (leases.count(content.digest) > 0) continue;
      const mayBeManifest = Object.keys(content.layers).length === 0 && useOf(content).bytes <= MANIFEST_BYTES;
      const old = content.came !== undefined && ageMs(clock, content.came) >= manifestAgeMs;
      if (mayBeManifest && (await this.#isNeeded(content.digest, old))) continue;
      unneeded.push(content);
    }
    return unneeded;
  }

  /** A small blob that is no manifest is what a pull that ended half-way left. */
  async #isNeeded(digest: Digest, old: boolean): Promise<boolean> {
    const known = this.#named.get(digest) ?? (await this.#namedBy(digest));
    if (known === "no manifest") return false;
    return !old || (await this.#namesTree(digest));
  }

  /** Whether a blob is an index that leads to the manifest of a tree. */
  async #namesTree(digest: Digest, depth = 0): Promise<boolean> {
    const { contents } = this.#options;
    const named = await this.#namedBy(digest);
    if (named === "no manifest") return false;
    if (named.some((manifest) => contents.treesOf(manifest) > 0)) return true;
    for (const inner of depth < MAX_INDEX_DEPTH ? named : []) {
      if (contents.has(inner) && (await this.#namesTree(inner, depth + 1))) return true;
    }
    return false;
  }

  async #namedBy(digest: Digest): Promise<readonly Digest[] | "no manifest"> {
    const known = this.#named.get(digest);
    if (known !== undefined && known !== "many") return known;
    const named = await this.#readNamed(digest);
    this.#named.set(digest, named.length > MOST_NAMED && named !== "no manifest" ? "many" : named);
    return named;
  }

  async #readNamed(digest: Digest): Promise<readonly Digest[] | "no manifest"> {
    const bytes = await this.#options.blobs.read(digest);
    if (bytes === undefined) return [];
    try {
      const parsed = parseManifest(bytes, undefined);
      return parsed.kind === "index" ? parsed.manifests.map((entry) => entry.digest) : [];
    } catch {
      // A small file layer, say.
      return "no manifest";
    }
  }
}
