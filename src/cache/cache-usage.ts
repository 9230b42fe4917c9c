import type { Contents } from "./contents.ts";
import { listDamagedFiles } from "./damaged-files.ts";
import {
  type DiskSpace,
  type DiskUse,
  excessOver,
  isSome,
  nothingUsed,
  readDiskSpace,
  sumOfUses,
} from "./disk-space.ts";
import type { Inventory } from "./inventory.ts";
import type { Layout } from "./layout.ts";
import type { CacheLimits } from "./limits.ts";
import type { Partials } from "./partials.ts";

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
  /** Files with wrong bytes that were moved aside. */
  readonly damaged: DiskUse;
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

/** What a usage is measured by. */
export interface UsageMeterOptions {
  readonly layout: Layout;
  readonly contents: Contents;
  readonly partials: Partials;
  readonly inventory: Inventory;
  readonly limits: CacheLimits;
}

/** Measures what the cache takes, and how much of that is more than its limits say. */
export class UsageMeter {
  readonly #options: UsageMeterOptions;
  #uppers: () => DiskUse = () => nothingUsed;

  constructor(options: UsageMeterOptions) {
    this.#options = options;
  }

  /** From now on counts what pods wrote into their volumes. */
  followUppers(use: () => DiskUse): void {
    this.#uppers = use;
  }

  /** What the cache takes, measured anew as far as it changed. */
  async usage(): Promise<CacheUsage> {
    const { layout, contents, partials, inventory } = this.#options;
    await inventory.load();
    await contents.refresh();
    const { blobs, layers } = contents.use();
    const downloads = sumOfUses((await partials.list()).map(({ use }) => use));
    const damaged = sumOfUses((await listDamagedFiles(layout)).map(({ use }) => use));
    const uppers = this.#uppers();
    const total = sumOfUses([blobs, layers, downloads, uppers, damaged]);
    const fileSystem = await readDiskSpace(layout.dataDir);
    return { blobs, layers, partials: downloads, uppers, damaged, total, fileSystem };
  }

  /** What is more than so many percent of the file system. */
  async overMark(percent: number): Promise<DiskUse> {
    return excessOver(percent, await readDiskSpace(this.#options.layout.dataDir));
  }

  /** What the cache takes beyond `--cache-max-bytes`. */
  async overMaxBytes(): Promise<DiskUse> {
    const { maxBytes } = this.#options.limits;
    if (maxBytes === undefined) return nothingUsed;
    const { total } = await this.usage();
    return { bytes: Math.max(0, total.bytes - maxBytes), inodes: 0 };
  }

  /** How much of an excess may go, where others may have filled the file system: a share of it is the cache's. */
  async beyondShare(excess: () => Promise<DiskUse>): Promise<DiskUse> {
    const over = await excess();
    if (!isSome(over)) return over;
    return this.#beyondShareOf(over, await this.usage());
  }

  /** Whether what is left, after all went that may go, is too much. */
  fullnessOf(usage: CacheUsage): Fullness | undefined {
    const { highPercent, maxBytes } = this.#options.limits;
    // What is empty is not full, whatever others do.
    if (usage.total.bytes === 0) return undefined;
    const over = excessOver(highPercent, usage.fileSystem);
    if (!isSome(over)) {
      const isAboveMax = maxBytes !== undefined && usage.total.bytes > maxBytes;
      return isAboveMax ? { by: "max-bytes", isByOthers: false, usage } : undefined;
    }
    const isByOthers = !isSome(this.#beyondShareOf(over, usage));
    return { by: over.bytes > 0 ? "bytes" : "inodes", isByOthers, usage };
  }

  #beyondShareOf(over: DiskUse, { total, fileSystem }: CacheUsage): DiskUse {
    const share = this.#options.limits.minPercent / 100;
    return {
      bytes: Math.min(over.bytes, Math.max(0, Math.ceil(total.bytes - share * fileSystem.totalBytes))),
      inodes: Math.min(over.inodes, Math.max(0, Math.ceil(total.inodes - share * fileSystem.totalInodes))),
    };
  }
}
