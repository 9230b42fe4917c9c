import type { VolumeKey, VolumeRecord } from "./records.ts";

/** Finds records by something that several may have in common, however many others there are. */
export class GroupedRecords {
  readonly #groupOf: (record: VolumeRecord) => string;
  readonly #groups = new Map<string, Map<VolumeKey, VolumeRecord>>();

  constructor(groupOf: (record: VolumeRecord) => string) {
    this.#groupOf = groupOf;
  }

  of(group: string): readonly VolumeRecord[] {
    return [...(this.#groups.get(group)?.values() ?? [])];
  }

  /** Adds a record, or replaces the one of that key. */
  put(record: VolumeRecord): void {
    const group = this.#groupOf(record);
    const records = this.#groups.get(group) ?? new Map<VolumeKey, VolumeRecord>();
    this.#groups.set(group, records.set(record.key, record));
  }

  delete(record: VolumeRecord): void {
    const group = this.#groupOf(record);
    const records = this.#groups.get(group);
    records?.delete(record.key);
    if (records?.size === 0) this.#groups.delete(group);
  }
}
