import { Column } from "./column.ts";
import { NameTable } from "./name-table.ts";

/** What a row is on disk. "skipped" is a device or FIFO that was left out: nothing is there. */
export type LayerEntryType = "folder" | "file" | "symlink" | "skipped";

/** What a layer became: one row for each path, row 0 being the root; a folder's row is lower than what is in it. */
export interface LayerIndex {
  /** Rows in all, "skipped" ones too. */
  readonly rowCount: number;
  /** Content of all files; a hard link adds nothing. */
  readonly fileBytes: number;
  type(row: number): LayerEntryType;
  /** The path from the root, without a slash in front. Empty for the root. */
  path(row: number): Buffer;
  /** The last part of the path: a view, not to be changed. */
  name(row: number): Buffer;
  /** The row of the folder that holds this row's entry. */
  parent(row: number): number;
  /** The row of a name in a folder, or undefined. */
  find(folder: number, name: Buffer): number | undefined;
  /** Permission bits as they are on disk. */
  mode(row: number): number;
  /** Seconds since 1970; undefined for a folder that only paths imply. */
  mtime(row: number): number | undefined;
  /** Bytes of a file's content, 0 for others. */
  size(row: number): number;
  /** sha256 of a file's content (32 bytes: a view, not to be changed), undefined for others. */
  contentHash(row: number): Buffer | undefined;
  /** Whether this file shares its content with one of a lower row that was there when this one was made. */
  isHardLink(row: number): boolean;
  /** Whether the tar had no entry of its own for this folder: it is there because of what is in it. */
  isImplied(row: number): boolean;
}

/** What an entry is, for `LayerTable.put`. */
export interface LayerEntryFields {
  readonly type: LayerEntryType;
  readonly mode: number;
  readonly mtime: number | undefined;
}

const types: readonly LayerEntryType[] = ["folder", "file", "symlink", "skipped"];
const TYPE_BITS = 0x3;
const HARD_LINK = 0x4;
const HASHES_A_SEGMENT = 4096;

/** sha256 of a file's content takes this many bytes. */
export const HASH_BYTES = 32;

/**
 * An index while it is made: 34 bytes a row beside the name table's, and 32 more for each file's hash, in typed arrays.
 * It is the unpacker's only memory of what it made, so it, and never the disk, says what a path leads through.
 */
export class LayerTable implements LayerIndex {
  readonly names = new NameTable();
  readonly #flags = new Column("u8");
  readonly #modes = new Column("u16");
  readonly #sizes = new Column("f64");
  readonly #mtimes = new Column("f64");
  /** Where a file's hash is, plus 1. */
  readonly #hashes = new Column("u32");
  readonly #hashSegments: Buffer[] = [];
  #hashCount = 0;

  constructor() {
    this.put(0, { type: "folder", mode: 0o755, mtime: undefined });
  }

  get rowCount(): number {
    return this.names.size;
  }

  get hashCount(): number {
    return this.#hashCount;
  }

  get fileBytes(): number {
    let bytes = 0;
    for (let row = 0; row < this.rowCount; row++) if (!this.isHardLink(row)) bytes += this.size(row);
    return bytes;
  }

  type(row: number): LayerEntryType {
    return types[this.#flags.get(row) & TYPE_BITS] ?? "skipped";
  }

  path(row: number): Buffer {
    return this.names.path(row);
  }

  name(row: number): Buffer {
    return this.names.name(row);
  }

  parent(row: number): number {
    return this.names.parent(row);
  }

  find(folder: number, name: Buffer): number | undefined {
    return this.names.find(folder, name) || undefined;
  }

  mode(row: number): number {
    return this.#modes.get(row);
  }

  mtime(row: number): number | undefined {
    const mtime = this.#mtimes.get(row);
    return Number.isNaN(mtime) ? undefined : mtime;
  }

  size(row: number): number {
    return this.#sizes.get(row);
  }

  contentHash(row: number): Buffer | undefined {
    const hash = this.#hashes.get(row);
    return hash === 0 ? undefined : this.#hashAt(hash - 1);
  }

  isHardLink(row: number): boolean {
    return (this.#flags.get(row) & HARD_LINK) !== 0;
  }

  isImplied(row: number): boolean {
    return this.type(row) === "folder" && this.mtime(row) === undefined;
  }

  /** Says what a row is; whatever it was before is forgotten. */
  put(row: number, fields: LayerEntryFields): void {
    this.#flags.set(row, types.indexOf(fields.type));
    this.#modes.set(row, fields.mode);
    this.#mtimes.set(row, fields.mtime ?? Number.NaN);
    this.#sizes.set(row, 0);
    this.#hashes.set(row, 0);
  }

  /** A file's content is known now. */
  putContent(row: number, size: number, hash: Buffer): void {
    this.#sizes.set(row, size);
    this.#hashes.set(row, this.#addHash(hash) + 1);
  }

  /** A row is another name of what `target` is. */
  putHardLink(row: number, target: number): void {
    this.#flags.set(row, this.#flags.get(target) | HARD_LINK);
    this.#modes.set(row, this.#modes.get(target));
    this.#mtimes.set(row, this.#mtimes.get(target));
    this.#sizes.set(row, this.#sizes.get(target));
    this.#hashes.set(row, this.#hashes.get(target));
  }

  /** The columns beside the names', in the order in which they are kept in a file. */
  get columns(): readonly Column[] {
    return [this.#flags, this.#modes, this.#sizes, this.#mtimes, this.#hashes];
  }

  /** All content hashes, in parts that share our memory. */
  *hashParts(): Generator<Buffer> {
    for (let at = 0; at < this.#hashCount; at += HASHES_A_SEGMENT) {
      const segment = this.#hashSegments[at / HASHES_A_SEGMENT] ?? Buffer.alloc(0);
      yield segment.subarray(0, Math.min(HASHES_A_SEGMENT, this.#hashCount - at) * HASH_BYTES);
    }
  }

  /** Takes what `hashParts` gave, into a table without any. */
  loadHashes(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; at += HASH_BYTES) this.#addHash(bytes.subarray(at, at + HASH_BYTES));
  }

  #addHash(hash: Buffer): number {
    const at = this.#hashCount++;
    if (at % HASHES_A_SEGMENT === 0) this.#hashSegments.push(Buffer.alloc(HASHES_A_SEGMENT * HASH_BYTES));
    this.#hashAt(at).set(hash);
    return at;
  }

  #hashAt(index: number): Buffer {
    const from = (index % HASHES_A_SEGMENT) * HASH_BYTES;
    const segment = this.#hashSegments[Math.floor(index / HASHES_A_SEGMENT)] ?? Buffer.alloc(0);
    return segment.subarray(from, from + HASH_BYTES);
  }
}
