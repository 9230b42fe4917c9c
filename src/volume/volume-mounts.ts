import { promises as fs } from "node:fs";
import { errnoOf } from "../base/index.ts";
import type { Cache, Tree } from "../cache/index.ts";
import type { MountAt, Mounter } from "../mount/index.ts";
import type { VolumeRecord } from "./records.ts";
import type { UpperLayers } from "./upper-layers.ts";
import type { WantedVolume } from "./wanted-volume.ts";

/** The mounts of volumes: makes them, and knows them again. */
export class VolumeMounts {
  readonly #mounter: Mounter;
  readonly #cache: Cache;
  readonly #uppers: UpperLayers;

  constructor(options: { readonly mounter: Mounter; readonly cache: Cache; readonly uppers: UpperLayers }) {
    this.#mounter = options.mounter;
    this.#cache = options.cache;
    this.#uppers = options.uppers;
  }

  /**
   * Shows a tree at the volume's target, which is an empty folder when it is `ready`: a bind, or an overlay of the volume's
   * own. Rejects if `ready` does.
   */
  async make(wanted: WantedVolume, tree: Tree, ready: Promise<unknown>): Promise<void> {
    const { key, targetPath, flags, readOnly, mountGroup } = wanted;
    if (readOnly) return this.#mounter.bind({ source: tree.folder, target: targetPath, readOnly, flags, ready });
    await ready;
    const layer = await this.#uppers.prepare(key, mountGroup);
    return this.#mounter.overlay({ lower: tree.folder, ...layer, target: targetPath, flags });
  }

  /** Has a writable volume that is mounted show what its tree holds by now; nothing happens to what is no such mount. */
  async refresh({ key, targetPath }: VolumeRecord): Promise<void> {
    const entry = await this.#mounter.mountHolding(targetPath);
    if (entry !== undefined && (await this.#uppers.isShownBy(entry, key)))
      await this.#mounter.refreshOverlay(targetPath);
  }

  /** Whether the mount at a record's target is the one that was made for it; an adopted one is whatever is there. */
  async isOf(record: VolumeRecord, mounted: MountAt): Promise<boolean> {
    if (record.tree === undefined) return true;
    if (!record.readOnly) {
      const entry = await this.#mounter.mountHolding(record.targetPath);
      return entry !== undefined && (await this.#uppers.isShownBy(entry, record.key));
    }
    try {
      const tree = await fs.stat(this.#cache.layout.treeFolder(record.tree), { bigint: true });
      return tree.dev === mounted.device && tree.ino === mounted.inode;
    } catch (error) {
      // Without the tree's folder nothing tells any more; the record says that it was this volume.
      if (errnoOf(error) === "ENOENT") return !(await this.showsRemoved(record));
      throw error;
    }
  }

  /** Whether what is mounted at a record's target was made for it, and shows the folder of a tree that somebody removed. */
  async showsRemoved({ tree, targetPath }: VolumeRecord): Promise<boolean> {
    if (tree === undefined) return false;
    return (await this.#mounter.mountHolding(targetPath))?.root.endsWith(`/${tree}//deleted`) === true;
  }
}
