import { dirname } from "node:path";
import { type Clock, DriverError, type MountPlace } from "../base/index.ts";
import { type FolderMount, keepsMountsInside, type Mounter } from "../mount/index.ts";
import { isKubeletTarget } from "./kubelet-target.ts";

/** Looking takes a tenth of the time at most: the table of all mounts, which has to be read, may be long. */
const REST_FACTOR = 9;

/** Makes sure that mounts reach the pod, where that can be told. */
export class Propagation {
  readonly #mounter: Mounter;
  readonly #clock: Clock;
  /** Mounts that were found to be in order (kubelet's folder is one), and until when that is believed. */
  readonly #known = new Map<number, number>();

  constructor(mounter: Mounter, clock: Clock) {
    this.#mounter = mounter;
    this.#clock = clock;
  }

  /**
   * Throws "refused" for a target of kubelet's form in a folder that was mounted into the driver's container without
   * propagation back to the host. Elsewhere nothing is asked. `folder` is what was seen of the folder above the target.
   */
  async require(targetPath: string, folder: FolderMount | undefined): Promise<void> {
    if (folder === undefined || !isKubeletTarget(targetPath)) return;
    if (folder.about !== undefined) return requireReach(targetPath, folder.about);
    const startMs = this.#clock.monotonicMs();
    if (startMs < (this.#known.get(folder.mountId) ?? 0)) return;
    const holder = await this.#mounter.mountHolding(dirname(targetPath));
    if (holder === undefined) return;
    requireReach(targetPath, holder);
    const nowMs = this.#clock.monotonicMs();
    this.#known.set(holder.mountId, nowMs + (nowMs - startMs) * REST_FACTOR);
  }
}

function requireReach(targetPath: string, holder: MountPlace): void {
  if (!keepsMountsInside(holder)) return;
  throw new DriverError(
    "refused",
    `the pod would not see a mount at ${targetPath}: ${holder.mountPoint} is mounted into the driver's container ` +
      "without mountPropagation: Bidirectional",
  );
}
