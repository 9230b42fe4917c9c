import { type Artifacts, diskErrorFrom } from "../artifact/index.ts";
import { type Clock, DriverError, type ErrorKind, KeyedLock, type Logger } from "../base/index.ts";
import { type Cache, type DiskUse, sumOfUses } from "../cache/index.ts";
import type { Mounter } from "../mount/index.ts";
import type { Platform } from "../oci/index.ts";
import { Adoption } from "./adoption.ts";
import { openRecords } from "./open-records.ts";
import { Propagation } from "./propagation.ts";
import { Publishing } from "./publishing.ts";
import { PublishesInFlight } from "./publishes-in-flight.ts";
import { RecordedMounts } from "./recorded-mounts.ts";
import { RecordDraft } from "./record-draft.ts";
import { type Records, type VolumeCount, type VolumeRecord, volumeKeyOf } from "./records.ts";
import { Repair } from "./repair.ts";
import { fullnessEntries, StorageProbe, tryWritingTo } from "./storage-probe.ts";
import { canonicalTargetPath, openTarget } from "./target.ts";
import { Targets } from "./targets.ts";
import { Unpublishing } from "./unpublishing.ts";
import { UpperLayers } from "./upper-layers.ts";
import { UpperUsage } from "./upper-usage.ts";
import { VolumeMounts } from "./volume-mounts.ts";
import { VolumeReports } from "./volume-reports.ts";
import type {
  PublishOutcome,
  PublishRequest,
  StorageHealthEntry,
  VolumeHealthEntry,
  VolumeService,
  VolumeStats,
} from "./volume-service.ts";
import { WantedTrees } from "./wanted-trees.ts";
import { parseWantedVolume } from "./wanted-volume.ts";

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
  readonly #targets: Targets;
  readonly #mounts: RecordedMounts;
  readonly #publishing: Publishing;
  readonly #unpublishing: Unpublishing;
  readonly #reports: VolumeReports;
  readonly #storage: StorageProbe;
  readonly #repair: Repair;
  readonly #inFlight = new PublishesInFlight();

  private constructor(options: VolumesOptions, records: Records) {
    const { mounter, cache, clock, driverName, log } = options;
    const { layout, room } = cache;
    const uppers = new UpperLayers(cache);
    const usage = new UpperUsage(clock, log);
    const mounts = new VolumeMounts({ mounter, cache, uppers });
    const adoption = new Adoption({ mounter, layout, uppers, driverName });
    const targets = new Targets({ mounter, records, mounts, uppers, adoption, clock, log });
    // Held by target path: two volumes that are meant for one target do not get there at once.
    const locks = new KeyedLock();
    this.#options = options;
    this.#records = records;
    this.#uppers = uppers;
    this.#usage = usage;
    this.#targets = targets;
    this.#mounts = new RecordedMounts({ room, records, uppers, mounts, targets, locks, log });
    const trees = new WantedTrees({ ...options, records });
    const propagation = new Propagation(mounter, clock);
    this.#publishing = new Publishing({ trees, mounts: this.#mounts, targets, propagation, locks });
    this.#unpublishing = new Unpublishing({ mounter, records, mounts, uppers, usage, locks, clock, log });
    this.#reports = new VolumeReports({ mounter, records, mounts, targets, uppers, cache, usage });
    this.#storage = new StorageProbe({ dataDir: layout.dataDir, tryWriting: () => tryWritingTo(layout.tmp), clock });
    this.#repair = new Repair({ records, forget: (record) => this.#unpublishing.forgetIfGone(record), clock, log });
    cache.collector.followUppers(() => this.#upperUse());
  }

  /** Reads the records of what is published already, and compares them with what is there in the background. */
  static async open(options: VolumesOptions): Promise<Volumes> {
    const volumes = new Volumes(options, await openRecords(options.cache, options.mounter));
    options.cache.followMending((tree) => volumes.#mounts.showAnew(tree));
    volumes.#repair.start();
    return volumes;
  }

  /** Ends work in the background. */
  async close(): Promise<void> {
    await this.#repair.close();
  }

  async publish(asked: PublishRequest): Promise<PublishOutcome> {
    await using draft = RecordDraft.begin({ records: this.#records, log: this.#options.log }, asked.volumeId);
    const seen = await openTarget(asked.targetPath);
    using held = seen.folder;
    let targetPath = seen.path;
    try {
      targetPath = await this.#targets.pathOf(asked.volumeId, seen.path);
      const request = { ...asked, targetPath };
      const folder = targetPath === seen.path ? held : undefined;
      const wanted = parseWantedVolume(request);
      const run = (signal: AbortSignal) => this.#publishing.run(wanted, { ...request, signal }, { folder, draft });
      return await this.#inFlight.run(wanted.key, request.signal, run);
    } catch (reason) {
      const error = diskErrorFrom(reason, `publish the volume at ${targetPath}`);
      const isFinal = !(error instanceof DriverError && uncertainKinds.has(error.kind));
      if (isFinal) this.#options.artifacts.leave(volumeKeyOf(asked.volumeId, targetPath));
      throw error;
    }
  }

  async unpublish(request: { readonly volumeId: string; readonly targetPath: string }): Promise<void> {
    const { volumeId } = request;
    const seenAt = await canonicalTargetPath(request.targetPath);
    await told(`unpublish the volume at ${seenAt}`, async () => {
      const targetPath = await this.#targets.pathOf(volumeId, seenAt);
      const key = volumeKeyOf(volumeId, targetPath);
      this.#inFlight.abort(key);
      this.#options.artifacts.leave(key);
      await this.#unpublishing.run({ volumeId, targetPath, seenAt });
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
    return told(`measure the volume at ${request.volumePath}`, () => this.#reports.stats(request));
  }

  health(request: {
    readonly volumeId: string;
    readonly volumePath: string | undefined;
  }): Promise<readonly VolumeHealthEntry[]> {
    const { volumeId, volumePath } = request;
    const what = volumePath === undefined ? `volume ${volumeId}` : `the volume at ${volumePath}`;
    return told(`examine ${what}`, () => this.#reports.health(request));
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
}

/** What the work comes to; a failure of the disk below it is told. */
async function told<T>(action: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (reason) {
    throw diskErrorFrom(reason, action);
  }
}
