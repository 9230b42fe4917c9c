import { basename, dirname } from "node:path";
import { type Patience, waitPatiently } from "../artifact/index.ts";
import { type Clock, DriverError, type Logger } from "../base/index.ts";
import { type HeldFolder, hangs, type MountAt, type Mounter, type PathLook } from "../mount/index.ts";
import type { Adoption } from "./adoption.ts";
import { isSameFolder } from "./folders.ts";
import { type Records, type VolumeRecord, volumeKeyOf } from "./records.ts";
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
  readonly clock: Clock;
  readonly log: Logger;
}

/** Compares what is at a target with what a volume wants there. The caller holds the target's lock. */
export class Targets {
  readonly #options: TargetsOptions;

  constructor(options: TargetsOptions) {
    this.#options = options;
  }

  /**
   * The path that a target is kept by, whatever path without links it is reached by: that of the volume's record, if one
   * of the same id is at the same place. Needs no lock.
   */
  async pathOf(volumeId: string, path: string): Promise<string> {
    const { records } = this.#options;
    if (records.get(volumeKeyOf(volumeId, path)) !== undefined) return path;
    for (const { targetPath } of records.ofVolume(volumeId)) {
      if (await this.#isSamePlace(targetPath, path)) return targetPath;
    }
    return path;
  }

  /**
   * Whether the volume is mounted as wanted, else what was seen at its target, where nothing is mounted. `folder` is the
   * one above it, if the caller holds that. A dead mount is taken away, and one whose tree somebody removed; a mount of this
   * driver without a record is adopted. Throws "conflict" or "refused" for any other live mount there, which is left alone,
   * and "unavailable" for one that hangs.
   */
  async look(wanted: WantedVolume, patience: Patience, folder?: HeldFolder): Promise<PathLook | "published"> {
    const { mounter, records, adoption } = this.#options;
    const { key, targetPath, identity, volumeId } = wanted;
    const record = records.get(key);
    if (record?.spec !== undefined && record.spec !== identity) {
      throw new DriverError(
        "conflict",
        `volume ${volumeId} is published at ${targetPath} with other attributes already`,
      );
    }
    const look = await mounter.lookAt(targetPath, folder);
    if (look.mount === undefined) return look;
    if (record !== undefined && (await this.#isKnown(record, look.mount))) return "published";
    if ((await this.#isDead(targetPath, patience)) || (await this.#showsRemoved(record))) {
      await mounter.unmount(targetPath, "detach");
      return this.look(wanted, patience);
    }
    // Of an adopted volume nothing is known but that it was there: whatever lives there is it.
    if (record !== undefined && record.tree === undefined) return "published";
    const other = await this.#otherAt(wanted);
    if (other !== undefined) {
      throw new DriverError("conflict", `another volume, ${other.volumeId}, is published at ${targetPath} already`);
    }
    if (record === undefined && (await adoption.isOurs(wanted))) {
      await this.#adopt(wanted);
      return "published";
    }
    throw new DriverError(
      "refused",
      `the target ${targetPath} has a mount that is not this volume's: it is left alone`,
    );
  }

  /**
   * Forgets a volume that was at the target before: nothing is mounted there, and its target is another's now. Undefined if
   * there was none.
   */
  dropPredecessor({ key, targetPath }: WantedVolume): Promise<void> | undefined {
    const other = this.#options.records.otherAtTarget(targetPath, key);
    return other && this.#drop(other);
  }

  async #drop(other: VolumeRecord): Promise<void> {
    const { records, uppers, log } = this.#options;
    log.info("a volume whose mount is gone is forgotten: another one is published at its target", {
      volumeId: other.volumeId,
      targetPath: other.targetPath,
    });
    await uppers.discard(other.key);
    await records.delete(other.key);
  }

  /** Writes a record for a mount as it is: it says nothing of a tree or attributes, so any republish fits. */
  async #adopt({ key, volumeId, targetPath, readOnly, pod }: WantedVolume): Promise<void> {
    const { namespace } = pod;
    this.#options.log.warn("a mount of this driver has no record: it is adopted as it is", { volumeId, targetPath });
    const unknown = { tree: undefined, spec: undefined, reference: undefined };
    await this.#options.records.put({ key, volumeId, targetPath, readOnly, namespace, pod: pod.name, ...unknown });
  }

  /** Whether the mount is certainly the volume's own: then it lives as long as the data dir does, and is not asked. */
  async #isKnown(record: VolumeRecord, mounted: MountAt): Promise<boolean> {
    return record.tree !== undefined && this.#options.mounts.isOf(record, mounted);
  }

  async #showsRemoved(record: VolumeRecord | undefined): Promise<boolean> {
    return record !== undefined && (await this.#options.mounts.showsRemoved(record));
  }

  #isDead(targetPath: string, patience: Patience): Promise<boolean> {
    const { mounter, clock } = this.#options;
    return waitPatiently(mounter.isDead(targetPath), { patience, clock, late: () => hangs(targetPath) });
  }

  async #otherAt({ targetPath, key }: WantedVolume): Promise<VolumeRecord | undefined> {
    for (const record of this.#options.records.others(key)) {
      if (record.targetPath === targetPath || (await this.#isSamePlace(record.targetPath, targetPath))) return record;
    }
    return undefined;
  }

  /** Whether two targets are one name in one folder, and what is mounted at one is seen at the other. */
  async #isSamePlace(first: string, second: string): Promise<boolean> {
    if (basename(first) !== basename(second) || !(await isSameFolder(dirname(first), dirname(second)))) return false;
    const [one, other] = await Promise.all([first, second].map((path) => this.#options.mounter.mountAt(path)));
    return one?.device === other?.device && one?.inode === other?.inode;
  }
}
