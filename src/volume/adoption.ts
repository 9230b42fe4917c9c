import { promises as fs } from "node:fs";
import { join } from "node:path";
import type { Layout } from "../cache/index.ts";
import type { MountEntry, Mounter } from "../mount/index.ts";
import type { UpperLayers } from "./upper-layers.ts";
import { readVolData } from "./vol-data.ts";
import type { WantedVolume } from "./wanted-volume.ts";

/** Knows mounts of this driver that have no record: its data dir was lost, or the Go driver made them. */
export class Adoption {
  readonly #mounter: Mounter;
  readonly #layout: Layout;
  readonly #uppers: UpperLayers;
  readonly #driverName: string;

  constructor(options: {
    readonly mounter: Mounter;
    readonly layout: Layout;
    readonly uppers: UpperLayers;
    readonly driverName: string;
  }) {
    this.#mounter = options.mounter;
    this.#layout = options.layout;
    this.#uppers = options.uppers;
    this.#driverName = options.driverName;
  }

  /**
   * Whether the mount at a volume's target is ours: its source, or its overlay's upper layer, lies in this data dir, or
   * kubelet's own file beside the target names this driver and this volume.
   */
  async isOurs(wanted: WantedVolume): Promise<boolean> {
    const { targetPath, volumeId } = wanted;
    const entry = await this.#mounter.mountHolding(targetPath);
    if (entry !== undefined && ((await this.#uppers.isAnyShownBy(entry)) || (await this.#showsTree(entry))))
      return true;
    const named = await readVolData(targetPath);
    return named?.driverName === this.#driverName && named.volumeId === volumeId;
  }

  /** Whether a mount shows a folder of this data dir's trees: told by file system and folder, not by path text. */
  async #showsTree({ device, root }: MountEntry): Promise<boolean> {
    const { trees } = this.#layout;
    const holder = await this.#mounter.mountHolding(trees);
    if (holder === undefined || holder.device !== device) return false;
    const canonical = await fs.realpath(trees);
    const below = holder.mountPoint === "/" ? canonical : canonical.slice(holder.mountPoint.length);
    return root.startsWith(`${join(holder.root, below)}/`);
  }
}
