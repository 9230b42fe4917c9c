import { dirname } from "node:path";
import { DriverError } from "../base/index.ts";
import { keepsMountsInside, type Mounter } from "../mount/index.ts";
import { isKubeletTarget } from "./kubelet-target.ts";

/** Makes sure that mounts reach the pod, where that can be told. */
export class Propagation {
  readonly #mounter: Mounter;
  /** Mounts that were found to be in order: kubelet's folder is one, and the table of all mounts may be long. */
  readonly #known = new Set<number>();

  constructor(mounter: Mounter) {
    this.#mounter = mounter;
  }

  /**
   * Throws "refused" for a target of kubelet's form in a folder that was mounted into the driver's container without
   * propagation back to the host. Elsewhere nothing is asked.
   */
  async require(targetPath: string): Promise<void> {
    if (!isKubeletTarget(targetPath)) return;
    const folder = dirname(targetPath);
    const mountId = await this.#mounter.mountIdHolding(folder);
    if (mountId === undefined || this.#known.has(mountId)) return;
    const holder = await this.#mounter.mountHolding(folder);
    if (holder === undefined) return;
    if (keepsMountsInside(holder)) {
      throw new DriverError(
        "refused",
        `the pod would not see a mount at ${targetPath}: ${holder.mountPoint} is mounted into the driver's container ` +
          "without mountPropagation: Bidirectional",
      );
    }
    this.#known.add(holder.mountId);
  }
}
