import { promises as fs } from "node:fs";
import { DriverError } from "../base/index.ts";
import type { Cache } from "../cache/index.ts";
import type { Mounter } from "../mount/index.ts";
import { inodeOf } from "./folders.ts";
import { type Records, type VolumeRecord, volumeKeyOf } from "./records.ts";
import type { Targets } from "./targets.ts";
import type { UpperLayers } from "./upper-layers.ts";
import type { UpperUsage } from "./upper-usage.ts";
import type { VolumeMounts } from "./volume-mounts.ts";
import type { VolumeHealthEntry, VolumeStats } from "./volume-service.ts";

/** What reports look at. */
export interface VolumeReportsOptions {
  readonly mounter: Mounter;
  readonly records: Records;
  readonly mounts: VolumeMounts;
  readonly targets: Targets;
  readonly uppers: UpperLayers;
  readonly usage: UpperUsage;
  readonly cache: Cache;
}

/** Tells how full published volumes are, and what is wrong with them. Nothing is walked while a caller waits. */
export class VolumeReports {
  readonly #options: VolumeReportsOptions;

  constructor(options: VolumeReportsOptions) {
    this.#options = options;
  }

  /** See `VolumeService.stats`. */
  async stats(request: { readonly volumeId: string; readonly volumePath: string }): Promise<VolumeStats> {
    const record = await this.#recordAt(request.volumeId, request.volumePath);
    if (record.tree === undefined) return this.#adoptedStats(record);
    if (!record.readOnly) return this.#writableStats(record);
    const tree = await this.#options.cache.trees.find(record.tree);
    if (tree === undefined)
      throw new DriverError("unavailable", `the tree of ${record.reference} is gone from this node's cache`);
    return { bytes: full(tree.bytes), inodes: full(tree.inodes) };
  }

  /** See `VolumeService.health`. */
  async health(request: {
    readonly volumeId: string;
    readonly volumePath: string | undefined;
  }): Promise<readonly VolumeHealthEntry[]> {
    const { volumeId, volumePath } = request;
    const { records } = this.#options;
    const asked = volumePath === undefined ? records.ofVolume(volumeId) : [await this.#recordAt(volumeId, volumePath)];
    if (asked.length === 0) throw new DriverError("not-found", `volume ${volumeId} is not published on this node`);
    const entries = (await Promise.all(asked.map((record) => this.#healthOf(record)))).flat();
    const worst = entries.find((entry) => entry.status === "data-loss") ?? entries[0];
    return worst === undefined ? [] : [worst];
  }

  /** What is not known of an adopted volume, its file system says. */
  async #adoptedStats({ targetPath }: VolumeRecord): Promise<VolumeStats> {
    const { mounter } = this.#options;
    if ((await mounter.mountAt(targetPath)) === undefined || (await mounter.isDead(targetPath)))
      throw new DriverError("unavailable", `nothing that can be measured is mounted at ${targetPath} any more`);
    const { bsize, blocks, bfree, bavail, files, ffree } = await fs.statfs(targetPath);
    return {
      bytes: { used: (blocks - bfree) * bsize, total: blocks * bsize, available: bavail * bsize },
      inodes: { used: files - ffree, total: files, available: ffree },
    };
  }

  async #writableStats(record: VolumeRecord): Promise<VolumeStats> {
    const { uppers, usage, cache } = this.#options;
    const { bytes, inodes } = usage.of(record.key, uppers.paths(record.key).upper);
    const { bsize, blocks, bavail, files, ffree } = await fs.statfs(cache.layout.dataDir);
    return {
      bytes: { used: bytes, total: blocks * bsize, available: bavail * bsize },
      inodes: { used: inodes, total: files, available: ffree },
    };
  }

  async #healthOf(record: VolumeRecord): Promise<readonly VolumeHealthEntry[]> {
    const { cache, mounter, mounts } = this.#options;
    const { targetPath, reference, tree, treeInode } = record;
    const shown = tree === undefined ? undefined : await cache.trees.find(tree);
    const isAnew = treeInode !== undefined && shown !== undefined && treeInode !== (await inodeOf(shown.folder));
    if ((tree !== undefined && shown === undefined) || isAnew) {
      const message = `the files of ${reference} are gone from the node's cache`;
      return [{ status: "data-loss", reason: "TreeMissing", message }];
    }
    if (shown?.damage !== undefined) {
      const message =
        `the files of ${reference} are not what they should be: ${shown.damage}; ` +
        "they are mended when a volume of it is published next";
      return [{ status: "data-loss", reason: "WrongBytes", message }];
    }
    const mounted = await mounter.mountAt(targetPath);
    const isThere = mounted !== undefined && (await mounts.isOf(record, mounted));
    // Only of an adopted mount its own file system has to be asked.
    if (isThere && (tree !== undefined || !(await mounter.isDead(targetPath)))) return [];
    const message = `the volume is not mounted at ${targetPath} any more`;
    return [{ status: "inaccessible", reason: "MountMissing", message }];
  }

  async #recordAt(volumeId: string, volumePath: string): Promise<VolumeRecord> {
    const { records, targets } = this.#options;
    const record = records.get(volumeKeyOf(volumeId, await targets.pathOf(volumeId, volumePath)));
    if (record !== undefined) return record;
    throw new DriverError("not-found", `volume ${volumeId} is not published at ${volumePath} on this node`);
  }
}

/** A read-only volume is full: what it holds is all that it can hold. */
function full(used: number) {
  return { used, total: used, available: 0 };
}
