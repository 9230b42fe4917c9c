import { allEnded, describeError, type FileDraft, type KeyedLock, type Logger } from "../base/index.ts";
import type { Cache, Tree, TreeId } from "../cache/index.ts";
import { inodeOf } from "./folders.ts";
import type { Records } from "./records.ts";
import { prepareTarget, removeTarget } from "./target.ts";
import type { Targets } from "./targets.ts";
import type { UpperLayers } from "./upper-layers.ts";
import type { VolumeMounts } from "./volume-mounts.ts";
import { recordOf, type WantedVolume } from "./wanted-volume.ts";

/** What recording and mounting volumes needs. */
export interface RecordedMountsOptions {
  readonly room: Cache["room"];
  readonly records: Records;
  readonly uppers: UpperLayers;
  readonly mounts: VolumeMounts;
  readonly targets: Targets;
  /** By target path. */
  readonly locks: KeyedLock;
  readonly log: Logger;
}

/** Mounts volumes and records them: both, or neither. */
export class RecordedMounts {
  readonly #options: RecordedMountsOptions;

  constructor(options: RecordedMountsOptions) {
    this.#options = options;
  }

  /** Records the volume and mounts it at its target, where nothing is mounted. The caller holds the target's lock. */
  async make(wanted: WantedVolume, tree: Tree, draft?: FileDraft): Promise<void> {
    const { records, uppers, targets, mounts, room } = this.#options;
    const { key, targetPath, readOnly } = wanted;
    const dropping = targets.dropPredecessor(wanted);
    if (dropping !== undefined) await dropping;
    const before = records.get(key);
    if (before?.tree !== undefined && before.tree !== tree.id) await uppers.discard(key);
    let isPrepared = false;
    const prepare = async () => {
      await prepareTarget(targetPath);
      isPrepared = true;
    };
    try {
      const treeInode = readOnly ? undefined : await inodeOf(tree.folder);
      const record = { ...recordOf(wanted, tree), treeInode };
      const put = () => records.put(record, { keepMs: wanted.spec.keepMs, draft });
      // First, as it takes longest: it is on its way before anything else is asked of other threads.
      const recorded = room.write(put);
      const ready = allEnded([prepare(), recorded]);
      await allEnded([ready, mounts.make(wanted, tree, ready)]);
    } catch (error) {
      if (before === undefined) await this.#undo(wanted, isPrepared);
      throw error;
    }
  }

  /** Pods that write over a tree which was mended see its files when they open them next. */
  async showAnew(tree: TreeId): Promise<void> {
    const { records, locks, mounts, log } = this.#options;
    for (const record of records.all()) {
      if (record.tree !== tree || record.readOnly) continue;
      const { targetPath } = record;
      await locks
        .run(targetPath, () => mounts.refresh(record))
        .catch((error: unknown) =>
          log.warn("a writable volume may show wrong files until its pod is started anew", {
            targetPath,
            reason: describeError(error),
          }),
        );
    }
  }

  /**
   * Leaves nothing of a volume that could not be mounted, the record last, as when it is unpublished. What cannot be
   * undone is logged: the failure itself is told.
   */
  async #undo({ key, targetPath, readOnly }: WantedVolume, isPrepared: boolean): Promise<void> {
    const { records, uppers, log } = this.#options;
    const steps = [
      ...(isPrepared ? [() => removeTarget(targetPath)] : []),
      ...(readOnly ? [] : [() => uppers.discard(key)]),
      () => records.delete(key),
    ];
    for (const step of steps) {
      await step().catch((error: unknown) =>
        log.warn("cannot undo a failed publish", { targetPath, reason: describeError(error) }),
      );
    }
  }
}
