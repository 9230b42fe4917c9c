import { type Artifacts, diskErrorFrom } from "../artifact/index.ts";
import { type Clock, DriverError, describeError, type ErrorKind, KeyedLock, type Logger } from "../base/index.ts";
import { type Cache, type DiskUse, type Lease, sumOfUses, type Tree, type TreeId } from "../cache/index.ts";
import type { Mounter } from "../mount/index.ts";
import { formatReference, type Platform } from "../oci/index.ts";
import { Adoption } from "./adoption.ts";
import { isKubeletTarget } from "./kubelet-target.ts";
import { openRecords } from "./open-records.ts";
import { inodeOf } from "./folders.ts";
import { Propagation } from "./propagation.ts";
import { PublishesInFlight } from "./publishes-in-flight.ts";
import { type Records, type VolumeCount, type VolumeKey, type VolumeRecord, volumeKeyOf } from "./records.ts";
import { fullnessEntries, StorageProbe, tryWritingTo } from "./storage-probe.ts";
import { canonicalTargetPath, checkTarget, prepareTarget, removeTarget } from "./target.ts";
import { Targets } from "./targets.ts";
import { unmountTarget } from "./unmount.ts";
import { UpperLayers } from "./upper-layers.ts";
import { UpperUsage } from "./upper-usage.ts";
import { Repair, stateOf } from "./repair.ts";
import { VolumeReports } from "./volume-reports.ts";
import { VolumeMounts } from "./volume-mounts.ts";
import type {
  PublishOutcome,
  PublishRequest,
  StorageHealthEntry,
  VolumeHealthEntry,
  VolumeService,
  VolumeStats,
} from "./volume-service.ts";
import { parseWantedVolume, type WantedVolume } from "./wanted-volume.ts";

/** What volumes need from outside. */
export interface VolumesOptions {
  readonly artifacts: Pick<Artifacts, "present" | "leave">;
  readonly cache: Cache;
  readonly mounter: Mounter;
  /** As in the CSIDriver object: kubelet's own files name it. */
  readonly driverName: string;
  /** The node's own. */
  readonly platform: Platform;
  /** Blobs at once in one pull, where a volume does not say. */
  readonly concurrency: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Storage health is asked with a deadline, and a collection may take longer. */
const COLLECTION_PATIENCE_MS = 2_000;

/** After these kubelet calls again, and unpublishes when the pod goes (facts: all others are final). */
const uncertainKinds: ReadonlySet<ErrorKind> = new Set(["cancelled", "unavailable", "no-space", "in-progress"]);

/** Publishes volumes: makes their artifacts present, mounts them, and remembers what is where. */
export class Volumes implements VolumeService {
  readonly #options: VolumesOptions;
  readonly #records: Records;
  readonly #uppers: UpperLayers;
  readonly #usage: UpperUsage;
  readonly #mounts: VolumeMounts;
  readonly #targets: Targets;
  readonly #propagation: Propagation;
  readonly #reports: VolumeReports;
  readonly #storage: StorageProbe;
  readonly #repair: Repair;
  /** Held by target path: two volumes that are meant for one target do not get there at once. */
  readonly #locks = new KeyedLock();
  readonly #inFlight = new PublishesInFlight();

  private constructor(options: VolumesOptions, records: Records) {
    this.#options = options;
    this.#records = records;
    this.#uppers = new UpperLayers(options.cache);
    this.#usage = new UpperUsage(options.clock, options.log);
    const { mounter, cache, clock, driverName, log } = options;
    const uppers = this.#uppers;
    const mounts = new VolumeMounts({ mounter, cache, uppers });
    const adoption = new Adoption({ mounter, layout: cache.layout, uppers, driverName });
    this.#mounts = mounts;
    const targets = new Targets({ mounter, records, mounts, uppers, adoption, clock, log });
    this.#targets = targets;
    this.#propagation = new Propagation(mounter, clock);
    this.#reports = new VolumeReports({ mounter, records, mounts, targets, uppers, cache, usage: this.#usage });
    const { dataDir, tmp } = cache.layout;
    this.#storage = new StorageProbe({ dataDir, tryWriting: () => tryWritingTo(tmp), clock });
    this.#repair = new Repair({ records, forget: (record) => this.#forgetIfGone(record), clock, log });
    cache.collector.followUppers(() => this.#upperUse());
  }

  /** Reads the records of what is published already, and compares them with what is there in the background. */
  static async open(options: VolumesOptions): Promise<Volumes> {
    const volumes = new Volumes(options, await openRecords(options.cache, options.mounter));
    options.cache.followMending((tree) => volumes.#showAnew(tree));
    volumes.#repair.start();
    return volumes;
  }

  /** Ends work in the background. */
  async close(): Promise<void> {
    await this.#repair.close();
  }

  async publish(asked: PublishRequest): Promise<PublishOutcome> {
    const request = { ...asked, targetPath: await this.#targets.pathOf(asked.volumeId, asked.targetPath) };
    const key = volumeKeyOf(request.volumeId, request.targetPath);
    try {
      const wanted = parseWantedVolume(request);
      return await this.#inFlight.run(key, request.signal, (signal) => this.#publish(wanted, { ...request, signal }));
    } catch (reason) {
      const error = diskErrorFrom(reason, `publish the volume at ${request.targetPath}`);
      if (!(error instanceof DriverError && uncertainKinds.has(error.kind))) this.#options.artifacts.leave(key);
      throw error;
    }
  }

  async unpublish(request: { readonly volumeId: string; readonly targetPath: string }): Promise<void> {
    const { volumeId } = request;
    const targetPath = await this.#targets.pathOf(volumeId, request.targetPath);
    const { artifacts } = this.#options;
    const key = volumeKeyOf(volumeId, targetPath);
    this.#inFlight.abort(key);
    artifacts.leave(key);
    await this.#locks.run(targetPath, async () => {
      const isKnown = this.#records.get(key) !== undefined;
      // What is mounted at any other target may be this volume all the same: its writes stay, too.
      if (!isKnown && !isKubeletTarget(targetPath)) return;
      if (isKnown) await this.#takeAway(targetPath, await canonicalTargetPath(request.targetPath));
      else {
        await this.#unpublishUnknown(targetPath);
        // Shown elsewhere, by whom nobody knows: who sees it there writes there.
        if (await this.#uppers.isShownAnywhere(key, this.#options.mounter)) return;
      }
      await this.#forget(key);
    });
  }

  /** What is published. */
  records(): readonly VolumeRecord[] {
    return this.#records.all();
  }

  /** How many volumes are published. */
  count(): VolumeCount {
    return this.#records.count();
  }

  stats(request: { readonly volumeId: string; readonly volumePath: string }): Promise<VolumeStats> {
    return this.#reports.stats(request);
  }

  health(request: {
    readonly volumeId: string;
    readonly volumePath: string | undefined;
  }): Promise<readonly VolumeHealthEntry[]> {
    return this.#reports.health(request);
  }

  async storageHealth(): Promise<readonly StorageHealthEntry[]> {
    const { collector, layout, limits, dataDir } = this.#options.cache;
    const entries = await this.#storage.check();
    if (entries.length > 0 || dataDir.isNewer) return entries;
    return fullnessEntries(await collector.lookFull(COLLECTION_PATIENCE_MS), { dataDir: layout.dataDir, limits });
  }

  /** What all upper layers take, as last counted. */
  #upperUse(): DiskUse {
    const uses = this.#records.writable().map(({ key }) => this.#usage.of(key, this.#uppers.paths(key).upper));
    return sumOfUses(uses);
  }

  /** A volume that kubelet has made room for again meanwhile is published, or will be. */
  async #forgetIfGone({ key, targetPath }: VolumeRecord): Promise<void> {
    await this.#locks.run(targetPath, async () => {
      if ((await stateOf(targetPath)) === "gone") await this.#forget(key);
    });
  }

  /** Writes that are lost are no writes of a volume that is known: the record goes last. */
  async #forget(key: VolumeKey): Promise<void> {
    await this.#uppers.discard(key);
    this.#usage.forget(key);
    await this.#records.delete(key);
  }

  /** Unmounts a target and removes it; where kubelet sees the same folder elsewhere, nothing stays there either. */
  async #takeAway(targetPath: string, seenAt: string): Promise<void> {
    const { mounter, clock } = this.#options;
    for (const path of new Set([targetPath, seenAt])) await unmountTarget(mounter, path, clock);
    await removeTarget(targetPath);
  }

  /** What kubelet's own target shows is taken away, whoever mounted it. */
  async #unpublishUnknown(targetPath: string): Promise<void> {
    const { mounter, clock, log } = this.#options;
    await unmountTarget(mounter, targetPath, clock);
    await removeTarget(targetPath).catch((error: unknown) =>
      log.info("an unknown volume's target is left alone", { targetPath, reason: describeError(error) }),
    );
  }

  async #publish(wanted: WantedVolume, request: PublishRequest): Promise<PublishOutcome> {
    const { targetPath } = wanted;
    const { signal } = request;
    if (await this.#locks.run(targetPath, () => this.#isPublished(wanted, request), signal)) return "unchanged";
    const { tree, lease } = await this.#leasedTree(wanted, request);
    using _ = lease;
    return await this.#locks.run(targetPath, () => this.#mount(wanted, tree, request), signal);
  }

  /** The tree, under a lease. It may have been evicted between the two: then it is made once more. */
  async #leasedTree(wanted: WantedVolume, request: PublishRequest): Promise<{ tree: Tree; lease: Lease }> {
    const { leases, trees } = this.#options.cache;
    for (;;) {
      const below = await this.#treeBelow(wanted);
      // Unpublished meanwhile: what it wanted was given up already, so nothing new may be wanted for it.
      request.signal.throwIfAborted();
      const isSound = below !== undefined && below.damage === undefined;
      const tree = isSound ? below : await this.#presentOver(below, wanted, request);
      const lease = await leases.hold(tree.id);
      if (await trees.isThere(tree.id)) return { tree, lease };
      lease.release();
    }
  }

  /** Whether nothing has to be done. Throws "refused" where nothing can be done either, before anything is pulled. */
  async #isPublished(wanted: WantedVolume, request: PublishRequest): Promise<boolean> {
    if (await this.#targets.isPublished(wanted, request)) return true;
    await this.#propagation.require(wanted.targetPath);
    await checkTarget(wanted.targetPath);
    return false;
  }

  /** Pods that write over a tree which was mended see its files when they open them next. */
  async #showAnew(tree: TreeId): Promise<void> {
    for (const record of this.#records.all()) {
      if (record.tree !== tree || record.readOnly) continue;
      const { targetPath } = record;
      await this.#locks
        .run(targetPath, () => this.#mounts.refresh(record))
        .catch((error: unknown) =>
          this.#options.log.warn("a writable volume may show wrong files until its pod is started anew", {
            targetPath,
            reason: describeError(error),
          }),
        );
    }
  }

  /** The tree that a writable volume's upper layer was written over: it means nothing over another one. */
  async #treeBelow({ key }: WantedVolume): Promise<Tree | undefined> {
    const record = this.#records.get(key);
    if (record?.tree === undefined || record.readOnly) return undefined;
    this.#options.cache.dataDir.requireOwnFormat();
    return this.#options.cache.trees.find(record.tree);
  }

  /**
   * Makes a tree present; a damaged one below what was written is mended by that. The reference may mean another tree by
   * now: what was written belongs over the old one all the same.
   */
  async #presentOver(below: Tree | undefined, wanted: WantedVolume, request: PublishRequest): Promise<Tree> {
    const made = await this.#present(wanted, request);
    return below === undefined || made.id === below.id ? made : below;
  }

  #present(wanted: WantedVolume, request: PublishRequest): Promise<Tree> {
    const { spec, pod, key } = wanted;
    const { artifacts, platform, concurrency } = this.#options;
    return artifacts.present(
      {
        volume: key,
        namespace: pod.namespace,
        reference: spec.reference,
        transport: spec.transport,
        selection: spec.selection,
        platform: spec.platform ?? platform,
        policy: spec.policy,
        concurrency: spec.concurrency ?? concurrency,
        secrets: request.secrets,
      },
      request,
    );
  }

  async #mount(wanted: WantedVolume, tree: Tree, request: PublishRequest): Promise<PublishOutcome> {
    request.signal.throwIfAborted();
    if (await this.#targets.isPublished(wanted, request)) return "unchanged";
    const { key, volumeId, targetPath, readOnly, identity } = wanted;
    await this.#targets.dropPredecessor(wanted);
    const before = this.#records.get(key);
    if (before?.tree !== undefined && before.tree !== tree.id) await this.#uppers.discard(key);
    await prepareTarget(targetPath);
    try {
      const { namespace, name: pod } = wanted.pod;
      const reference = formatReference(wanted.spec.reference);
      const forPeople = { namespace, pod, reference, manifest: tree.manifest };
      const treeInode = readOnly ? undefined : await inodeOf(tree.folder);
      const record = { key, volumeId, targetPath, tree: tree.id, spec: identity, readOnly, treeInode, ...forPeople };
      await this.#options.cache.room.write(() => this.#records.put(record, wanted.spec.keepMs));
      await this.#mounts.make(wanted, tree);
      return "published";
    } catch (error) {
      if (before === undefined) await this.#undo(wanted);
      throw error;
    }
  }

  /**
   * Leaves nothing of a volume that could not be mounted, the record last, as when it is unpublished. What cannot be
   * undone is logged: the failure itself is told.
   */
  async #undo({ key, targetPath, readOnly }: WantedVolume): Promise<void> {
    const steps = [
      () => removeTarget(targetPath),
      ...(readOnly ? [] : [() => this.#uppers.discard(key)]),
      () => this.#records.delete(key),
    ];
    for (const step of steps) {
      await step().catch((error: unknown) =>
        this.#options.log.warn("cannot undo a failed publish", { targetPath, reason: describeError(error) }),
      );
    }
  }
}
