import { type ArtifactRequest, type Artifacts, diskErrorFrom, type LeasedTree } from "../artifact/index.ts";
import {
  allEnded,
  type Clock,
  DriverError,
  describeError,
  type ErrorKind,
  type FileDraft,
  KeyedLock,
  type Logger,
} from "../base/index.ts";
import { type Cache, type DiskUse, sumOfUses, type Tree, type TreeId } from "../cache/index.ts";
import type { MountAt, Mounter } from "../mount/index.ts";
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
import { takeAwayBind, unmountTarget } from "./unmount.ts";
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
  readonly artifacts: Pick<Artifacts, "cached" | "link" | "took" | "present" | "leave">;
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

/** A tree that the cache has for a volume. */
interface Found {
  readonly tree: Tree;
  /** The file for its record, not begun where there is a record already. */
  readonly drafting: Promise<FileDraft | undefined>;
  /** Ends the tree's lease and takes the file away, if it was not used. */
  readonly drop: () => Promise<void>;
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
    const seenAt = await canonicalTargetPath(asked.targetPath);
    const request = { ...asked, targetPath: await this.#targets.pathOf(asked.volumeId, seenAt) };
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
    const seenAt = await canonicalTargetPath(request.targetPath);
    const targetPath = await this.#targets.pathOf(volumeId, seenAt);
    const { artifacts } = this.#options;
    const key = volumeKeyOf(volumeId, targetPath);
    this.#inFlight.abort(key);
    artifacts.leave(key);
    const taking = this.#locks.run(targetPath, async () => {
      const record = this.#records.get(key);
      // What is mounted at any other target may be this volume all the same: its writes stay, too.
      if (record === undefined && !isKubeletTarget(targetPath)) return;
      if (record !== undefined) await this.#takeAway(record, seenAt);
      else {
        await this.#unpublishUnknown(targetPath);
        // Shown elsewhere, by whom nobody knows: who sees it there writes there.
        if (await this.#uppers.isShownAnywhere(key, this.#options.mounter)) return;
      }
      await this.#forget(key);
    });
    await taking.catch((reason: unknown) => {
      throw diskErrorFrom(reason, `unpublish the volume at ${targetPath}`);
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
    const record = this.#records.get(key);
    // One that was published read-only has no upper layer; of an adopted one that is not known.
    if (record?.readOnly !== true || record.tree === undefined) await this.#uppers.discard(key);
    this.#usage.forget(key);
    await this.#records.delete(key);
  }

  /** Unmounts a target and removes it; where kubelet sees the same folder elsewhere, nothing stays there either. */
  async #takeAway(record: VolumeRecord, seenAt: string): Promise<void> {
    const { targetPath, readOnly, tree } = record;
    const { mounter, clock } = this.#options;
    const isBind = readOnly && tree !== undefined;
    const isOurs = (mounted: MountAt) => this.#mounts.isOf(record, mounted);
    if (isBind && seenAt === targetPath && (await takeAwayBind(mounter, targetPath, isOurs))) return;
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
    const finding = this.#findCached(wanted, request);
    try {
      const publish = () => this.#publishCached(wanted, request, finding);
      const outcome = await this.#locks.run(targetPath, publish, signal);
      if (outcome !== undefined) return outcome;
    } finally {
      await finding.then((found) => found?.drop());
    }
    const { tree, lease } = await this.#leasedTree(wanted, request);
    using _ = lease;
    return await this.#locks.run(targetPath, () => this.#mount(wanted, tree, request), signal);
  }

  /** What the cache has for a volume that no writes bind to an older tree, and the file for its record. Never rejects. */
  async #findCached(wanted: WantedVolume, request: PublishRequest): Promise<Found | undefined> {
    const before = this.#records.get(wanted.key);
    if (before?.readOnly === false) return undefined;
    const found = await this.#options.artifacts.cached(this.#artifactRequest(wanted, request));
    if (found === undefined) return undefined;
    // Most often it is published and wants a record: its file is made while the target is looked at.
    const drafting = before === undefined ? this.#records.draft() : Promise.resolve(undefined);
    const drop = async () => {
      found.lease.release();
      const draft = await drafting;
      await draft?.discard().catch((error: unknown) => {
        this.#options.log.warn("cannot remove a temporary file", { reason: describeError(error) });
      });
    };
    return { tree: found.tree, drafting, drop };
  }

  /**
   * Mounts a tree that the cache has. Undefined if something has to be asked or fetched first, which is not waited for under
   * the lock; throws "refused" where nothing can be done either.
   */
  async #publishCached(
    wanted: WantedVolume,
    request: PublishRequest,
    finding: Promise<Found | undefined>,
  ): Promise<PublishOutcome | undefined> {
    const { targetPath } = wanted;
    const look = await this.#targets.look(wanted, request);
    if (look === "published") return "unchanged";
    await this.#propagation.require(targetPath, look.folder);
    if (look.isThere || look.folder === undefined) await checkTarget(targetPath);
    const found = await finding;
    if (found === undefined) return undefined;
    request.signal.throwIfAborted();
    const { artifacts } = this.#options;
    const asked = this.#artifactRequest(wanted, request);
    const draft = await found.drafting;
    // Before the mount: if it fails, nothing of the volume is there yet.
    await artifacts.took(asked, found.tree);
    const showing = this.#show(wanted, found.tree, draft);
    await allEnded([showing, artifacts.link(asked, found.tree)]);
    return "published";
  }

  /** The tree, under a lease. It may have been evicted between the two: then it is made once more. */
  async #leasedTree(wanted: WantedVolume, request: PublishRequest): Promise<LeasedTree> {
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
    const made = await this.#options.artifacts.present(this.#artifactRequest(wanted, request), request);
    return below === undefined || made.id === below.id ? made : below;
  }

  #artifactRequest({ spec, pod, key }: WantedVolume, { secrets }: PublishRequest): ArtifactRequest {
    const { platform, concurrency } = this.#options;
    return {
      volume: key,
      namespace: pod.namespace,
      reference: spec.reference,
      transport: spec.transport,
      selection: spec.selection,
      platform: spec.platform ?? platform,
      policy: spec.policy,
      concurrency: spec.concurrency ?? concurrency,
      secrets,
    };
  }

  async #mount(wanted: WantedVolume, tree: Tree, request: PublishRequest): Promise<PublishOutcome> {
    request.signal.throwIfAborted();
    if ((await this.#targets.look(wanted, request)) === "published") return "unchanged";
    await this.#show(wanted, tree);
    return "published";
  }

  /** Records the volume and mounts it at its target, where nothing is mounted. */
  async #show(wanted: WantedVolume, tree: Tree, draft?: FileDraft): Promise<void> {
    const { key, volumeId, targetPath, readOnly, identity } = wanted;
    const dropping = this.#targets.dropPredecessor(wanted);
    if (dropping !== undefined) await dropping;
    const before = this.#records.get(key);
    if (before?.tree !== undefined && before.tree !== tree.id) await this.#uppers.discard(key);
    let isPrepared = false;
    const prepare = async () => {
      await prepareTarget(targetPath);
      isPrepared = true;
    };
    try {
      const { namespace, name: pod } = wanted.pod;
      const reference = formatReference(wanted.spec.reference);
      const forPeople = { namespace, pod, reference, manifest: tree.manifest };
      const treeInode = readOnly ? undefined : await inodeOf(tree.folder);
      const record = { key, volumeId, targetPath, tree: tree.id, spec: identity, readOnly, treeInode, ...forPeople };
      const put = () => this.#records.put(record, { keepMs: wanted.spec.keepMs, draft });
      // First, as it takes longest: it is on its way before anything else is asked of other threads.
      const recorded = this.#options.cache.room.write(put);
      const ready = allEnded([prepare(), recorded]);
      await allEnded([ready, this.#mounts.make(wanted, tree, ready)]);
    } catch (error) {
      if (before === undefined) await this.#undo(wanted, isPrepared);
      throw error;
    }
  }

  /**
   * Leaves nothing of a volume that could not be mounted, the record last, as when it is unpublished. What cannot be
   * undone is logged: the failure itself is told.
   */
  async #undo({ key, targetPath, readOnly }: WantedVolume, isPrepared: boolean): Promise<void> {
    const steps = [
      ...(isPrepared ? [() => removeTarget(targetPath)] : []),
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
