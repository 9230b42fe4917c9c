import { hash } from "node:crypto";
import { promises as fs } from "node:fs";
import { join } from "node:path";
import type { FileDraft } from "../base/index.ts";
import { type Cache, type KeepMs, type Lease, type TreeId, textAt } from "../cache/index.ts";
import type { JsonObject } from "../oci/index.ts";
import { GroupedRecords } from "./grouped-records.ts";

/** Names a volume among all others: hex sha256 of volume id, NUL, target path. Ids never become paths themselves. */
export type VolumeKey = string & { readonly volumeKey: unique symbol };

/** A published volume, as it stands on disk. Of an adopted one, tree, spec and reference are not known. */
export interface VolumeRecord {
  readonly key: VolumeKey;
  readonly volumeId: string;
  readonly targetPath: string;
  readonly tree: TreeId | undefined;
  /** What a republish must have in common with it (`specIdentity`). */
  readonly spec: string | undefined;
  readonly readOnly: boolean;
  /** For people: whose volume it is, and what it shows. */
  readonly namespace: string;
  readonly pod?: string | undefined;
  readonly reference: string | undefined;
  /** The manifest that its tree was made from. */
  readonly manifest?: string | undefined;
  /** The number of the tree's folder when a writable volume was mounted over it: one that was made anew is another. */
  readonly treeInode?: string | undefined;
}

/** How a record is put. */
export interface PutOptions {
  /** How long the tree stays after the volume. */
  readonly keepMs?: KeepMs;
  /** What `draft` made for it. */
  readonly draft?: FileDraft | undefined;
}

/** What records need of the cache. */
type RecordsCache = Pick<Cache, "dataDir" | "leases" | "inventory" | "cleanups">;

/** Published volumes by kind. */
export interface VolumeCount {
  readonly readOnly: number;
  readonly writable: number;
}

const RECORD_FILE = /^[0-9a-f]{64}\.json$/;
/** How many records are read at once. */
const BATCH = 16;

/** The key of a volume. */
export function volumeKeyOf(volumeId: string, targetPath: string): VolumeKey {
  return hash("sha256", `${volumeId}\0${targetPath}`, "hex") as VolumeKey;
}

/** The records of published volumes: in memory, and one file each in `volumes/`. Each holds a lease of its tree. */
export class Records {
  readonly #cache: RecordsCache;
  readonly #byKey = new Map<VolumeKey, VolumeRecord>();
  readonly #byTarget = new GroupedRecords(({ targetPath }) => targetPath);
  readonly #byVolume = new GroupedRecords(({ volumeId }) => volumeId);
  readonly #leases = new Map<VolumeKey, Lease>();
  readonly #unreadable: VolumeKey[] = [];

  private constructor(cache: RecordsCache) {
    this.#cache = cache;
  }

  /** Reads all records; a corrupt one is reported and moved aside. */
  static async load(cache: RecordsCache): Promise<Records> {
    const records = new Records(cache);
    const names = (await fs.readdir(cache.dataDir.layout.volumes)).filter((name) => RECORD_FILE.test(name));
    for (let i = 0; i < names.length; i += BATCH)
      await Promise.all(names.slice(i, i + BATCH).map((name) => records.#read(name)));
    return records;
  }

  /** The volumes whose records were there and could not be read. */
  get unreadable(): readonly VolumeKey[] {
    return this.#unreadable;
  }

  get(key: VolumeKey): VolumeRecord | undefined {
    return this.#byKey.get(key);
  }

  /** The record of another volume at a target path. */
  otherAtTarget(targetPath: string, key: VolumeKey): VolumeRecord | undefined {
    return this.#byTarget.of(targetPath).find((record) => record.key !== key);
  }

  /** All records. */
  all(): readonly VolumeRecord[] {
    return [...this.#byKey.values()];
  }

  /** All records but one. */
  others(key: VolumeKey): readonly VolumeRecord[] {
    return [...this.#byKey.values()].filter((record) => record.key !== key);
  }

  /** The records of one volume id, at whatever targets. */
  ofVolume(volumeId: string): readonly VolumeRecord[] {
    return this.#byVolume.of(volumeId);
  }

  /** The records of writable volumes that this driver mounted: each has an upper layer. */
  writable(): readonly VolumeRecord[] {
    return [...this.#byKey.values()].filter((record) => !record.readOnly);
  }

  /** How many volumes there are of each kind. */
  count(): VolumeCount {
    const total = this.#byKey.size;
    const readOnly = [...this.#byKey.values()].filter((record) => record.readOnly).length;
    return { readOnly, writable: total - readOnly };
  }

  /**
   * A power cut takes the mounts away, too. So a read-only volume's record may go with its mount, or come back without
   * it; a writable one's says whose the writes are that come back.
   */
  async put(record: VolumeRecord, { keepMs, draft }: PutOptions = {}): Promise<void> {
    const { cleanups, inventory } = this.#cache;
    const before = this.#byKey.get(record.key);
    try {
      const beginning = record.tree === undefined ? undefined : cleanups.begin(record.tree, record.key, keepMs);
      if (beginning !== undefined) await beginning;
      await this.#write(record, before !== undefined, draft);
    } catch (error) {
      if (record.tree !== undefined && record.tree !== before?.tree) await cleanups.end(record.tree, record.key);
      throw error;
    }
    this.#keep(record);
    await this.#lease(record);
    if (record.tree !== undefined) inventory.touch(record.tree);
    if (before?.tree !== undefined && before.tree !== record.tree) await cleanups.end(before.tree, record.key);
  }

  /** Makes the file of a record that is likely to be put soon. See `StateFiles.draft`; a newer driver's data dir gets none. */
  async draft(): Promise<FileDraft | undefined> {
    const { isNewer, state } = this.#cache.dataDir;
    return isNewer ? undefined : state.draft();
  }

  /** Begins to write such a file, once it is known what the record is likely to be. */
  fill(draft: FileDraft, record: VolumeRecord): void {
    this.#cache.dataDir.state.fill(draft, { ...record });
  }

  async delete(key: VolumeKey): Promise<void> {
    const { state, layout, syncFolder } = this.#cache.dataDir;
    await state.remove(this.#file(key));
    const record = this.#byKey.get(key);
    if (record?.readOnly !== true) await syncFolder(layout.volumes);
    if (record !== undefined) this.#drop(record);
    this.#leases.get(key)?.release();
    this.#leases.delete(key);
    if (record?.tree === undefined) return;
    this.#cache.inventory.touch(record.tree);
    await this.#cache.cleanups.end(record.tree, key);
  }

  async #read(name: string): Promise<void> {
    const { dataDir, cleanups } = this.#cache;
    const path = join(dataDir.layout.volumes, name);
    const record = await dataDir.state.read(path, (value) => recordFrom(value, name));
    if (record === undefined) {
      this.#unreadable.push(name.slice(0, -".json".length) as VolumeKey);
      return;
    }
    this.#keep(record);
    await this.#lease(record);
    if (record.tree !== undefined) cleanups.resume(record.tree, record.key);
  }

  /** What a newer driver noted in a record that is there stays in it. */
  async #write(record: VolumeRecord, isThere: boolean, draft: FileDraft | undefined): Promise<void> {
    const { state } = this.#cache.dataDir;
    const file = this.#file(record.key);
    const options = { syncName: !record.readOnly, draft };
    if (isThere) await state.merge(file, { ...record }, options);
    else await state.write(file, { ...record }, options);
  }

  #keep(record: VolumeRecord): void {
    this.#byKey.set(record.key, record);
    this.#byTarget.put(record);
    this.#byVolume.put(record);
  }

  #drop(record: VolumeRecord): void {
    this.#byKey.delete(record.key);
    this.#byTarget.delete(record);
    this.#byVolume.delete(record);
  }

  /** The new lease comes before the old one goes: they may be of one tree. */
  async #lease({ key, tree }: VolumeRecord): Promise<void> {
    const lease = tree === undefined ? undefined : await this.#cache.leases.hold(tree);
    this.#leases.get(key)?.release();
    if (lease === undefined) this.#leases.delete(key);
    else this.#leases.set(key, lease);
  }

  #file(key: VolumeKey): string {
    return join(this.#cache.dataDir.layout.volumes, `${key}.json`);
  }
}

function recordFrom(value: JsonObject, name: string): VolumeRecord {
  const volumeId = textAt(value, "volumeId");
  const targetPath = textAt(value, "targetPath");
  const key = volumeKeyOf(volumeId, targetPath);
  if (name !== `${key}.json`) throw new Error("it is another volume's");
  return {
    key,
    volumeId,
    targetPath,
    tree: optionalTextAt(value, "tree") as TreeId | undefined,
    spec: optionalTextAt(value, "spec"),
    readOnly: value["readOnly"] === true,
    namespace: textAt(value, "namespace"),
    pod: optionalTextAt(value, "pod"),
    reference: optionalTextAt(value, "reference"),
    manifest: optionalTextAt(value, "manifest"),
    ...(value["treeInode"] === undefined ? {} : { treeInode: textAt(value, "treeInode") }),
  };
}

function optionalTextAt(value: JsonObject, key: string): string | undefined {
  return value[key] === undefined ? undefined : textAt(value, key);
}
