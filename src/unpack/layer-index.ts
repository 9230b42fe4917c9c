import { freeBuffers } from "../base/index.ts";
import { Column } from "./column.ts";
import { NameTable } from "./name-table.ts";
import type { SparseContent } from "./sparse-content.ts";

/**
 * What a row is. Only the first three are on disk. "skipped" is a device or FIFO that was left out; "lower-link" a hard link
 * to what an image's lower layer has; "nothing" a name that the layer only speaks of.
 */
export type LayerEntryType = "folder" | "file" | "symlink" | "skipped" | "lower-link" | "nothing";

/** What an entry is, for `LayerTable.put`. */
export interface LayerEntryFields {
  readonly type: LayerEntryType;
  readonly mode: number;
  readonly mtime: number | undefined;
}

/** What was read of a tar until its end, for limits that several layers obey together. */
export interface LayerCounts {
  /** Entries read, those included that later ones replaced. */
  entries: number;
  /** Content of those entries. */
  contentBytes: number;
  /** Folders that the tar had no entry for when they were made. */
  impliedFolders: number;
}

const types: readonly LayerEntryType[] = ["folder", "file", "symlink", "skipped", "lower-link", "nothing"];
const TYPE_BITS = 0x7;
const HARD_LINK = 0x8;
const HIDES_LOWER = 0x10;
const SPARSE = 0x20;
const HASHES_A_SEGMENT = 4096;

/** Of all sparse files of a layer together: of one beyond that, only the size is known later. Their memory is 8 MB. */
const MAX_RANGES = 524_288;

/** sha256 of a file's content takes this many bytes. */
export const HASH_BYTES = 32;
/** Each of a sparse file's ranges: start and end. */
export const RANGE_BYTES = 16;

/** What a row's flags say. */
export interface RowFlags {
  readonly type: LayerEntryType;
  /** Whether it shares its content with an earlier row. */
  readonly isHardLink: boolean;
  /** Whether what lower layers have at this path, and in it, is hidden whatever this layer has there. */
  readonly hidesLower: boolean;
  /** A file with holes: its hash is that of its ranges. */
  readonly isSparse: boolean;
}

/** Reads a row's flags. */
export function readFlags(flags: number): RowFlags {
  return {
    type: types[flags & TYPE_BITS] ?? "nothing",
    isHardLink: (flags & HARD_LINK) !== 0,
    hidesLower: (flags & HIDES_LOWER) !== 0,
    isSparse: (flags & SPARSE) !== 0,
  };
}

/** What is noted of a sparse file, in the place of a hash. */
interface SparseNumbers {
  /** Of all its ranges. */
  readonly bytes: number;
  /** How many ranges there are, and which is the first one. */
  readonly count: number;
  readonly first: number;
}

/** In place of a count and a hash: there are too many ranges to be kept. */
const NOT_KEPT = -1;
const NO_HASH = Buffer.alloc(HASH_BYTES);

function sparseNumbers({ bytes, count, first }: SparseNumbers): Buffer {
  const block = Buffer.alloc(HASH_BYTES);
  for (const [i, number] of [bytes, count, first].entries()) block.writeDoubleLE(number, 8 * i);
  return block;
}

/** Reads what is noted of a sparse file behind its hash. The count is undefined if its ranges are not kept. */
export function readSparseNumbers(
  block: Buffer,
): Omit<SparseNumbers, "count"> & { readonly count: number | undefined } {
  const [bytes, count, first] = [block.readDoubleLE(0), block.readDoubleLE(8), block.readDoubleLE(16)];
  return { bytes, count: count === NOT_KEPT ? undefined : count, first };
}

/**
 * What a layer became, while it is made: one row for each path, row 0 being the root. 34 bytes a row beside the name
 * table's, and 32 more for the hash of each file and symlink, in typed arrays. It is the unpacker's only memory of what it made, so it, and
 * never the disk, says what a path leads through.
 */
export class LayerTable {
  readonly counts: LayerCounts = { entries: 0, contentBytes: 0, impliedFolders: 0 };
  readonly names = new NameTable();
  readonly #flags = new Column("u8");
  readonly #modes = new Column("u16");
  readonly #sizes = new Column("f64");
  readonly #mtimes = new Column("f64");
  /** Where the hash of a file, or of a symlink's target, is, plus 1; the row that a link to a lower layer leads to. */
  readonly #hashes = new Column("u32");
  readonly #hashSegments: Buffer[] = [];
  #hashCount = 0;
  /** Start and end of one after the other. */
  readonly #ranges = new Column("f64");
  #rangeCount = 0;
  #hasLowerLinks = false;

  constructor() {
    this.put(0, { type: "folder", mode: 0o755, mtime: undefined });
  }

  get rowCount(): number {
    return this.names.paths.size;
  }

  get hashCount(): number {
    return this.#hashCount;
  }

  /** Ranges of all sparse files. */
  get rangeCount(): number {
    return this.#rangeCount;
  }

  /** Whether a row is, or was, a link into a lower layer. */
  get hasLowerLinks(): boolean {
    return this.#hasLowerLinks;
  }

  type(row: number): LayerEntryType {
    return readFlags(this.#flags.get(row)).type;
  }

  /** The path from the root, without a slash in front. Empty for the root. */
  path(row: number): Buffer {
    return this.names.paths.path(row);
  }

  /** Permission bits as they are on disk. */
  mode(row: number): number {
    return this.#modes.get(row);
  }

  /** Seconds since 1970; undefined for a folder that only paths imply, and what was left out. */
  mtime(row: number): number | undefined {
    const mtime = this.#mtimes.get(row);
    return Number.isNaN(mtime) ? undefined : mtime;
  }

  /** Says what a row is; whatever it was before is forgotten, but not what it hides. */
  put(row: number, fields: LayerEntryFields): void {
    this.#flags.set(row, types.indexOf(fields.type) | (this.#flags.get(row) & HIDES_LOWER));
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

  /** What a symlink leads to is known from now on. Older indexes do not say it. */
  putTarget(row: number, hash: Buffer): void {
    this.#hashes.set(row, this.#addHash(hash) + 1);
  }

  /** Whether what a sparse file holds can be told later. */
  canKeep({ isInOrder, rangeCount }: SparseContent): boolean {
    return isInOrder && this.#rangeCount + rangeCount <= MAX_RANGES;
  }

  /**
   * The same of a sparse file, whose holes may be too large to be read: behind its hash is told where its ranges are.
   * Without a hash they are not kept.
   */
  putSparse(row: number, size: number, content: SparseContent, hash: Buffer | undefined): void {
    const first = this.#rangeCount;
    for (const { start, end } of hash === undefined ? [] : content.ranges()) {
      const at = 2 * this.#rangeCount++;
      this.#ranges.set(at, start);
      this.#ranges.set(at + 1, end);
    }
    this.putContent(row, size, hash ?? NO_HASH);
    this.#flags.set(row, this.#flags.get(row) | SPARSE);
    const count = hash === undefined ? NOT_KEPT : this.#rangeCount - first;
    this.#addHash(sparseNumbers({ bytes: content.bytes, count, first }));
  }

  /** What lower layers have at this row's path, and in it, is hidden. */
  hideLower(row: number): void {
    this.#flags.set(row, this.#flags.get(row) | HIDES_LOWER);
  }

  /** A row is another name of what a lower layer has at the path of `target`, a row of type "nothing". */
  putLowerLink(row: number, target: number): void {
    this.#hasLowerLinks = true;
    this.put(row, { type: "lower-link", mode: 0, mtime: undefined });
    this.#hashes.set(row, target);
  }

  /** A row is another name of what `target` is. */
  putHardLink(row: number, target: number): void {
    const hides = this.#flags.get(row) & HIDES_LOWER;
    this.#flags.set(row, (this.#flags.get(target) & (TYPE_BITS | SPARSE)) | HARD_LINK | hides);
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

  /** All ranges of sparse files, in parts. */
  rangeParts(): Iterable<Buffer> {
    return this.#ranges.bytes(2 * this.#rangeCount);
  }

  /** Gives all memory back at once, ahead of the garbage collection; the table is of no use any more. */
  free(): void {
    this.names.free();
    for (const column of [...this.columns, this.#ranges]) column.free();
    freeBuffers(this.#hashSegments.splice(0));
  }

  #addHash(hash: Buffer): number {
    const at = this.#hashCount++;
    if (at % HASHES_A_SEGMENT === 0) this.#hashSegments.push(Buffer.allocUnsafeSlow(HASHES_A_SEGMENT * HASH_BYTES));
    this.#hashSegments.at(-1)?.set(hash, (at % HASHES_A_SEGMENT) * HASH_BYTES);
    return at;
  }
}
