import { DriverError, type Logger } from "../base/index.ts";
import type { Mounter } from "../mount/index.ts";
import type { Adoption } from "./adoption.ts";
import type { Records } from "./records.ts";
import type { UpperLayers } from "./upper-layers.ts";
import type { VolumeMounts } from "./volume-mounts.ts";
import type { WantedVolume } from "./wanted-volume.ts";

/** What judging targets needs. */
export interface TargetsOptions {
  readonly mounter: Mounter;
  readonly records: Records;
  readonly mounts: VolumeMounts;
  readonly uppers: UpperLayers;
  readonly adoption: Adoption;
  readonly log: Logger;
}

/** Compares what is at a target with what a volume wants there. The caller holds the target's lock. */
export class Targets {
  readonly #options: TargetsOptions;

  constructor(options: TargetsOptions) {
    this.#options = options;
  }

  /**
   * Whether the volume is mounted as wanted. A dead mount is taken away; a mount of this driver without a record is
   * adopted. Throws "conflict" or "refused" for any other live mount there, which is left alone.
   */
  async isPublished(wanted: WantedVolume): Promise<boolean> {
    const { mounter, records, mounts, adoption } = this.#options;
    const { key, targetPath, identity, volumeId } = wanted;
    const record = records.get(key);
    if (record?.spec !== undefined && record.spec !== identity) {
      throw new DriverError(
        "conflict",
        `volume ${volumeId} is published at ${targetPath} with other attributes already`,
      );
    }
    const mounted = await mounter.mountAt(targetPath);
    if (mounted === undefined) return false;
    if (mounted.dead) {
      await mounter.unmount(targetPath, "detach");
      return this.isPublished(wanted);
    }
    if (record !== undefined && (await mounts.isOf(record, mounted))) return true;
    const other = records.otherAtTarget(targetPath, key);
    if (other !== undefined) {
      throw new DriverError("conflict", `another volume, ${other.volumeId}, is published at ${targetPath} already`);
    }
    if (record === undefined && (await adoption.isOurs(wanted))) {
      await this.#adopt(wanted);
      return true;
    }
    throw new DriverError(
      "refused",
      `the target ${targetPath} has a mount that is not this volume's: it is left alone`,
    );
  }

  /** Forgets a volume that was at the target before: nothing is mounted there, and its target is another's now. */
  async dropPredecessor({ key, targetPath }: WantedVolume): Promise<void> {
    const { records, uppers, log } = this.#options;
    const other = records.otherAtTarget(targetPath, key);
    if (other === undefined) return;
    log.info("a volume whose mount is gone is forgotten: another one is published at its target", {
      volumeId: other.volumeId,
      targetPath,
    });
    await uppers.discard(other.key);
    await records.delete(other.key);
  }

  /** Writes a record for a mount as it is: it says nothing of a tree or attributes, so any republish fits. */
  async #adopt({ key, volumeId, targetPath, readOnly, pod }: WantedVolume): Promise<void> {
    const { namespace } = pod;
    this.#options.log.warn("a mount of this driver has no record: it is adopted as it is", { volumeId, targetPath });
    const unknown = { tree: undefined, spec: undefined, reference: undefined };
    await this.#options.records.put({ key, volumeId, targetPath, readOnly, namespace, ...unknown });
  }
}
