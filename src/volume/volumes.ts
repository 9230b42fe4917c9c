import { promises as fs } from "node:fs";
import { type Artifacts, diskErrorFrom } from "../artifact/index.ts";
import { type Clock, DriverError, describeError, type ErrorKind, KeyedLock, type Logger } from "../base/index.ts";
import type { Cache, Tree } from "../cache/index.ts";
import type { Mounter } from "../mount/index.ts";
import { formatReference, type Platform } from "../oci/index.ts";
import { PublishesInFlight } from "./publishes-in-flight.ts";
import { Records, type VolumeCount, type VolumeRecord, volumeKeyOf } from "./records.ts";
import { StorageProbe, tryWritingTo } from "./storage-probe.ts";
import { cleanTargetPath, prepareTarget, removeTarget } from "./target.ts";
import { unmountTarget } from "./unmount.ts";
import { UpperLayers } from "./upper-layers.ts";
import { UpperUsage } from "./upper-usage.ts";
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
  /** The node's own. */
  readonly platform: Platform;
  /** Blobs at once in one pull, where a volume does not say. */
  readonly concurrency: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/** After these kubelet calls again, and unpublishes when the pod goes (facts: all others are final). */
const uncertainKinds: ReadonlySet<ErrorKind> = new Set(["cancelled", "unavailable", "no-space", "in-progress"]);

/** Publishes volumes: makes their artifacts present, mounts them, and remembers what is where. */
export class Volumes implements VolumeService {
  readonly #options: VolumesOptions;
  readonly #records: Records;
  readonly #uppers: UpperLayers;
  readonly #usage: UpperUsage;
  readonly #mounts: VolumeMounts;
  readonly #storage: StorageProbe;
  /** Held by target path: two volumes that are meant for one target do not get there at once. */
  readonly #locks = new KeyedLock();
  readonly #inFlight = new PublishesInFlight();

  private constructor(options: VolumesOptions, records: Records) {
    this.#options = options;
    this.#records = records;
    this.#uppers = new UpperLayers(options.cache);
    this.#usage = new UpperUsage(options.clock, options.log);
    const { mounter, cache, clock } = options;
    this.#mounts = new VolumeMounts({ mounter, cache, uppers: this.#uppers });
    const { dataDir, tmp } = cache.layout;
    this.#storage = new StorageProbe({ dataDir, tryWriting: () => tryWritingTo(tmp), clock });
  }

  /** Reads the records of what is published already. */
  static async open(options: VolumesOptions): Promise<Volumes> {
    const { layout, state } = options.cache.dataDir;
    return new Volumes(options, await Records.load(layout, state));
  }

  async publish(asked: PublishRequest): Promise<PublishOutcome> {
    const request = { ...asked, targetPath: cleanTargetPath(asked.targetPath) };
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
    const targetPath = cleanTargetPath(request.targetPath);
    const { artifacts, mounter, clock } = this.#options;
    const key = volumeKeyOf(volumeId, targetPath);
    this.#inFlight.abort(key);
    artifacts.leave(key);
    await this.#locks.run(targetPath, async () => {
      const record = this.#records.get(key);
      if (record === undefined) return;
      await unmountTarget(mounter, targetPath, clock);
      await removeTarget(targetPath);
      if (!record.readOnly) await this.#uppers.discard(key);
      this.#usage.forget(key);
      await this.#records.delete(key);
    });
  }

  /** How many volumes are published. */
  count(): VolumeCount {
    return this.#records.count();
  }

  async stats(request: { readonly volumeId: string; readonly volumePath: string }): Promise<VolumeStats> {
    const record = this.#recordAt(request.volumeId, request.volumePath);
    if (!record.readOnly) return this.#writableStats(record);
    const tree = await this.#options.cache.trees.find(record.tree);
    if (tree === undefined)
      throw new DriverError("unavailable", `the tree of ${record.reference} is gone from this node's cache`);
    return { bytes: full(tree.bytes), inodes: full(tree.inodes) };
  }

  async health(request: {
    readonly volumeId: string;
    readonly volumePath: string | undefined;
  }): Promise<readonly VolumeHealthEntry[]> {
    const { volumeId, volumePath } = request;
    const records =
      volumePath === undefined ? this.#records.ofVolume(volumeId) : [this.#recordAt(volumeId, volumePath)];
    if (records.length === 0) throw new DriverError("not-found", `volume ${volumeId} is not published on this node`);
    const entries = (await Promise.all(records.map((record) => this.#healthOf(record)))).flat();
    const worst = entries.find((entry) => entry.status === "data-loss") ?? entries[0];
    return worst === undefined ? [] : [worst];
  }

  storageHealth(): Promise<readonly StorageHealthEntry[]> {
    return this.#storage.check();
  }

  async #publish(wanted: WantedVolume, request: PublishRequest): Promise<PublishOutcome> {
    const { targetPath } = wanted;
    const { signal } = request;
    if (await this.#locks.run(targetPath, () => this.#isPublished(wanted), signal)) return "unchanged";
    // Unpublished meanwhile: what it wanted was given up already, so nothing new may be wanted for it.
    signal.throwIfAborted();
    const tree = await this.#present(wanted, request);
    return this.#locks.run(targetPath, () => this.#mount(wanted, tree, signal), signal);
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

  /** Whether the volume is mounted as wanted. Throws for any other live mount there; a dead one is taken away. */
  async #isPublished(wanted: WantedVolume): Promise<boolean> {
    const { key, targetPath, identity } = wanted;
    const record = this.#records.get(key);
    if (record !== undefined && record.spec !== identity) {
      throw new DriverError(
        "conflict",
        `volume ${wanted.volumeId} is published at ${targetPath} with other attributes already`,
      );
    }
    const mounted = await this.#options.mounter.mountAt(targetPath);
    if (mounted === undefined) return false;
    if (mounted.dead) {
      await this.#options.mounter.unmount(targetPath, "detach");
      return this.#isPublished(wanted);
    }
    if (record !== undefined && (await this.#mounts.isOf(record, mounted))) return true;
    const other = this.#records.atTarget(targetPath);
    if (other !== undefined && other.key !== key) {
      throw new DriverError("conflict", `another volume, ${other.volumeId}, is published at ${targetPath} already`);
    }
    throw new DriverError(
      "refused",
      `the target ${targetPath} has a mount that is not this volume's: it is left alone`,
    );
  }

  async #mount(wanted: WantedVolume, tree: Tree, signal: AbortSignal): Promise<PublishOutcome> {
    signal.throwIfAborted();
    if (await this.#isPublished(wanted)) return "unchanged";
    const { key, volumeId, targetPath, readOnly, identity } = wanted;
    const before = this.#records.get(key);
    await prepareTarget(targetPath);
    try {
      const { namespace } = wanted.pod;
      const reference = formatReference(wanted.spec.reference);
      await this.#records.put({
        key,
        volumeId,
        targetPath,
        tree: tree.id,
        spec: identity,
        readOnly,
        namespace,
        reference,
      });
      await this.#mounts.make(wanted, tree);
      return "published";
    } catch (error) {
      if (before === undefined) await this.#undo(wanted);
      throw error;
    }
  }

  /** Leaves nothing of a volume that could not be mounted. What cannot be undone is logged: the failure itself is told. */
  async #undo({ key, targetPath, readOnly }: WantedVolume): Promise<void> {
    const steps = [
      ...(readOnly ? [] : [() => this.#uppers.discard(key)]),
      () => this.#records.delete(key),
      () => removeTarget(targetPath),
    ];
    for (const step of steps) {
      await step().catch((error: unknown) =>
        this.#options.log.warn("cannot undo a failed publish", { targetPath, reason: describeError(error) }),
      );
    }
  }

  async #writableStats(record: VolumeRecord): Promise<VolumeStats> {
    const { upper } = this.#uppers.paths(record.key);
    const { bytes, inodes } = this.#usage.of(record.key, upper);
    const fileSystem = await fs.statfs(this.#options.cache.layout.dataDir);
    const { bsize, blocks, bavail, files, ffree } = fileSystem;
    return {
      bytes: { used: bytes, total: blocks * bsize, available: bavail * bsize },
      inodes: { used: inodes, total: files, available: ffree },
    };
  }

  async #healthOf(record: VolumeRecord): Promise<readonly VolumeHealthEntry[]> {
    const { targetPath, reference } = record;
    if ((await this.#options.cache.trees.find(record.tree)) === undefined) {
      const message = `the files of ${reference} are gone from the node's cache`;
      return [{ status: "data-loss", reason: "TreeMissing", message }];
    }
    const mounted = await this.#options.mounter.mountAt(targetPath);
    if (mounted !== undefined && !mounted.dead && (await this.#mounts.isOf(record, mounted))) return [];
    const message = `the volume is not mounted at ${targetPath} any more`;
    return [{ status: "inaccessible", reason: "MountMissing", message }];
  }

  #recordAt(volumeId: string, volumePath: string): VolumeRecord {
    const record = this.#records.get(volumeKeyOf(volumeId, cleanTargetPath(volumePath)));
    if (record !== undefined) return record;
    throw new DriverError("not-found", `volume ${volumeId} is not published at ${volumePath} on this node`);
  }
}

/** A read-only volume is full: what it holds is all that it can hold. */
function full(used: number) {
  return { used, total: used, available: 0 };
}
