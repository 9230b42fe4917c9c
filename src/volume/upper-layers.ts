import { promises as fs } from "node:fs";
import { basename, dirname, join } from "node:path";
import { makeFolders, unlessMissing } from "../base/index.ts";
import type { Cache } from "../cache/index.ts";
import { hasUpperDir, type MountEntry, type Mounter, upperDirOf } from "../mount/index.ts";
import { isSameFolder } from "./folders.ts";
import type { VolumeKey } from "./records.ts";

/** The folders of a writable volume. */
export interface UpperLayer {
  readonly upper: string;
  readonly work: string;
}

/** What pods write into their volumes: one upper layer a volume, in `volumes/<key>/`. */
export class UpperLayers {
  readonly #cache: Cache;

  constructor(cache: Cache) {
    this.#cache = cache;
  }

  /** The folders of a volume's upper layer. */
  paths(key: VolumeKey): UpperLayer {
    const folder = join(this.#cache.layout.volumes, key);
    return { upper: join(folder, "upper"), work: join(folder, "work") };
  }

  /**
   * Makes the upper layer, or finds the one that is there with what was written. Its root is the volume's: anybody may
   * write there; with a group (a decimal id) it belongs to that and hands it down. One that was mounted before stays as
   * the pod left it.
   */
  async prepare(key: VolumeKey, mountGroup: string): Promise<UpperLayer> {
    const { upper, work } = this.paths(key);
    // The kernel's own folder: it makes it when it mounts.
    const wasMounted = (await unlessMissing(fs.lstat(join(work, "work")))) !== undefined;
    if (wasMounted && (await unlessMissing(fs.lstat(upper))) !== undefined) return { upper, work };
    await makeFolders(work, 0o700);
    await makeFolders(upper);
    if (mountGroup !== "") await fs.chown(upper, 0, Number(mountGroup));
    await fs.chmod(upper, mountGroup === "" ? 0o777 : 0o2777);
    return { upper, work };
  }

  /** Whether a mount is an overlay with this volume's upper layer, whatever name the data dir had when it was made. */
  async isShownBy(entry: MountEntry, key: VolumeKey): Promise<boolean> {
    const { upper } = this.paths(key);
    if (hasUpperDir(entry, upper)) return true;
    const shown = upperDirOf(entry);
    return shown !== undefined && isSameFolder(shown, upper);
  }

  /** Whether any mount in the driver's namespace shows this volume's upper layer. Cheap for a volume that has none. */
  async isShownAnywhere(key: VolumeKey, mounter: Pick<Mounter, "mounts">): Promise<boolean> {
    if ((await unlessMissing(fs.lstat(this.paths(key).upper))) === undefined) return false;
    for (const entry of await mounter.mounts()) if (await this.isShownBy(entry, key)) return true;
    return false;
  }

  /** Whether a mount is an overlay with some volume's upper layer in this data dir. */
  async isAnyShownBy(entry: MountEntry): Promise<boolean> {
    const shown = upperDirOf(entry);
    if (shown === undefined || basename(shown) !== "upper") return false;
    return isSameFolder(dirname(dirname(shown)), this.#cache.layout.volumes);
  }

  /** Takes an upper layer away at once; its bytes are freed in the background. */
  async discard(key: VolumeKey): Promise<void> {
    await this.#cache.sweeper.discard(join(this.#cache.layout.volumes, key));
  }
}
