import { type Clock, describeError, type KeyedLock, type Logger } from "../base/index.ts";
import type { MountAt, Mounter } from "../mount/index.ts";
import { isKubeletTarget } from "./kubelet-target.ts";
import { type Records, type VolumeKey, type VolumeRecord, volumeKeyOf } from "./records.ts";
import { stateOf } from "./repair.ts";
import { removeTarget } from "./target.ts";
import { takeAwayBind, unmountTarget } from "./unmount.ts";
import type { UpperLayers } from "./upper-layers.ts";
import type { UpperUsage } from "./upper-usage.ts";
import type { VolumeMounts } from "./volume-mounts.ts";

/** What unpublishing needs. */
export interface UnpublishingOptions {
  readonly mounter: Mounter;
  readonly records: Records;
  readonly mounts: VolumeMounts;
  readonly uppers: UpperLayers;
  readonly usage: UpperUsage;
  /** By target path. */
  readonly locks: KeyedLock;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A volume that is to go. */
export interface UnwantedVolume {
  readonly volumeId: string;
  /** The path that its target is kept by (`Targets.pathOf`). */
  readonly targetPath: string;
  /** The path without links by which the target was named this time. */
  readonly seenAt: string;
}

/** Takes volumes away, and forgets them. */
export class Unpublishing {
  readonly #options: UnpublishingOptions;

  constructor(options: UnpublishingOptions) {
    this.#options = options;
  }

  /** Unmounts a volume and forgets it, with what was written into it; an unknown one is no error. */
  async run({ volumeId, targetPath, seenAt }: UnwantedVolume): Promise<void> {
    const { locks, records, uppers, mounter } = this.#options;
    const key = volumeKeyOf(volumeId, targetPath);
    await locks.run(targetPath, async () => {
      const record = records.get(key);
      // What is mounted at any other target may be this volume all the same: its writes stay, too.
      if (record === undefined && !isKubeletTarget(targetPath)) return;
      if (record !== undefined) await this.#takeAway(record, seenAt);
      else {
        await this.#takeAwayUnknown(targetPath);
        // Shown elsewhere, by whom nobody knows: who sees it there writes there.
        if (await uppers.isShownAnywhere(key, mounter)) return;
      }
      await this.#forget(key);
    });
  }

  /** A volume that kubelet has made room for again meanwhile is published, or will be. */
  async forgetIfGone({ key, targetPath }: VolumeRecord): Promise<void> {
    await this.#options.locks.run(targetPath, async () => {
      if ((await stateOf(targetPath)) === "gone") await this.#forget(key);
    });
  }

  /** Writes that are lost are no writes of a volume that is known: the record goes last. */
  async #forget(key: VolumeKey): Promise<void> {
    const { records, uppers, usage } = this.#options;
    const record = records.get(key);
    // One that was published read-only has no upper layer; of an adopted one that is not known.
    if (record?.readOnly !== true || record.tree === undefined) await uppers.discard(key);
    usage.forget(key);
    await records.delete(key);
  }

  /** Unmounts a target and removes it; where kubelet sees the same folder elsewhere, nothing stays there either. */
  async #takeAway(record: VolumeRecord, seenAt: string): Promise<void> {
    const { targetPath, readOnly, tree } = record;
    const { mounter, mounts, clock } = this.#options;
    const isBind = readOnly && tree !== undefined;
    const isOurs = (mounted: MountAt) => mounts.isOf(record, mounted);
    if (isBind && seenAt === targetPath && (await takeAwayBind(mounter, targetPath, isOurs))) return;
    for (const path of new Set([targetPath, seenAt])) await unmountTarget(mounter, path, clock);
    await removeTarget(targetPath);
  }

  /** What kubelet's own target shows is taken away, whoever mounted it. */
  async #takeAwayUnknown(targetPath: string): Promise<void> {
    const { mounter, clock, log } = this.#options;
    await unmountTarget(mounter, targetPath, clock);
    await removeTarget(targetPath).catch((error: unknown) =>
      log.info("an unknown volume's target is left alone", { targetPath, reason: describeError(error) }),
    );
  }
}
