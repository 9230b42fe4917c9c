import { createHash } from "node:crypto";
import { closeSync, fstatSync, readSync } from "node:fs";
import { type ByteRange, freeBuffers } from "../base/index.ts";
import { corruptIndex, wrongName } from "./corrupt-index.ts";
import { FolderPaths, isOnDisk } from "./folder-paths.ts";
import { HASH_BYTES, type LayerCounts, RANGE_BYTES, readFlags, readSparseNumbers } from "./layer-index.ts";
import { CHECKSUM_BYTES, INDEX_HEADER_BYTES, INDEX_MAGIC, openLayerIndex } from "./layer-index-file.ts";
import type { LayerRow, TarRow } from "./layer-row.ts";
import type { SparseFacts } from "./sparse-content.ts";

/** How many rows are read at once. */
const ROWS_A_PART = 2048;
const MAX_NAME_BYTES = 255;
/** Bytes that the columns take for each row: parent, name length, flags, mode, size, mtime, hash. */
const COLUMN_BYTES = [4, 1, 1, 2, 8, 8, 4] as const;
type Columns = [
  parents: Buffer,
  lengths: Buffer,
  flags: Buffer,
  modes: Buffer,
  sizes: Buffer,
  mtimes: Buffer,
  hashes: Buffer,
];

/** Rows that were read at once: `count` of them from row `first` on, their names one after the other. */
interface RowsPart {
  readonly first: number;
  readonly count: number;
  readonly columns: Columns;
  readonly names: Buffer;
}

const CHECK_BYTES = 256 * 1024;
const SLASH = Buffer.from("/");
const DOT = 0x2e;

/**
 * An index on disk, read row by row: a layer may have a million, and only its folders' names are kept in memory. Buffers
 * serve again and again, since the garbage collection looks at used ones only every 64 MB.
 */
export class LayerIndexReader implements Disposable {
  readonly counts: Readonly<LayerCounts>;
  readonly hashCount: number;
  /** Whether there may be links into lower layers. */
  readonly hasLowerLinks: boolean;
  readonly #file: number;
  readonly #rowCount: number;
  /** Where each column begins, then the names, the hashes and the checksum. */
  readonly #starts: readonly number[];

  /** Opens an index. Throws "corrupt" if it is not exactly what `writeLayerIndex` wrote. */
  constructor(path: string) {
    this.#file = openLayerIndex(path);
    try {
      const header = read(this.#file, INDEX_HEADER_BYTES, 0);
      if (!header.subarray(0, INDEX_MAGIC.length).equals(INDEX_MAGIC))
        throw corruptIndex("it does not begin as one of this format");
      const number = (index: number) => header.readUInt32LE(INDEX_MAGIC.length + 4 * index);
      const contentBytes = header.readDoubleLE(INDEX_MAGIC.length + 4 * 7);
      this.counts = { entries: number(3), impliedFolders: number(4), contentBytes };
      this.#rowCount = number(0);
      this.hashCount = number(1);
      this.hasLowerLinks = number(5) !== 0;
      this.#starts = startsOf(this.#rowCount, number(2), this.hashCount, number(6));
      checkWhole(this.#file, this.#start("checksum"));
    } catch (error) {
      closeSync(this.#file);
      throw error;
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }

  /** What is on disk, a folder before what is in it, the root first. Throws "corrupt" for paths that cannot be. */
  *rows(): Generator<LayerRow> {
    const folders = new FolderPaths();
    try {
      for (const row of this.tarRows()) {
        const path = folders.add(row);
        if (isOnDisk(row.type)) yield { ...row, path };
      }
    } finally {
      folders.free();
    }
  }

  /**
   * How many paths are on disk beside the root, and bytes of their files, if all of them lie at or below one name in the
   * root; undefined if not. Far quicker than to look at the rows: most layers are one folder, of which no more is asked.
   */
  countBelow(rootName: Buffer): { readonly bytes: number; readonly inodes: number } | undefined {
    let [bytes, inodes] = [0, 0];
    for (const { first, count, columns, names } of this.#parts()) {
      const [parents, lengths, flags, , sizes] = columns;
      for (let i = 0, from = 0, end = 0; i < count; i++, from = end) {
        end = from + (lengths[i] ?? 0);
        const { type, isHardLink } = readFlags(flags[i] ?? 0);
        if (first + i === 0 || !isOnDisk(type)) continue;
        const isInRoot = parents.readUInt32LE(4 * i) === 0;
        if (isInRoot && names.compare(rootName, 0, rootName.length, from, end) !== 0) return undefined;
        inodes++;
        if (!isHardLink) bytes += sizes.readDoubleLE(8 * i);
      }
    }
    return { bytes, inodes };
  }

  /** All rows, a folder before what is in it, the root first. Throws "corrupt" for names that cannot be. */
  *tarRows(): Generator<TarRow> {
    for (const { first, count, columns, names } of this.#parts()) {
      const [parents, lengths, flags, ...facts] = columns;
      for (let i = 0, from = 0; i < count; i++) {
        const end = from + (lengths[i] ?? 0);
        const name = names.subarray(from, end);
        const parent = parents.readUInt32LE(4 * i);
        from = end;
        if (first + i === 0 ? name.length > 0 : parent >= first + i || !isPlainName(name)) throw wrongName();
        yield { parent, name, ...readFlags(flags[i] ?? 0), ...factsOf(facts, i) };
      }
    }
  }

  /** All rows' columns and names, some rows at a time, in buffers that are read into again. */
  *#parts(): Generator<RowsPart> {
    const rows = Math.min(ROWS_A_PART, this.#rowCount);
    const columns = COLUMN_BYTES.map((bytes) => Buffer.allocUnsafeSlow(rows * bytes)) as Columns;
    const names = Buffer.allocUnsafeSlow(rows * MAX_NAME_BYTES);
    try {
      let namesAt = this.#start("names");
      for (let first = 0; first < this.#rowCount; first += ROWS_A_PART) {
        const count = Math.min(ROWS_A_PART, this.#rowCount - first);
        for (const [i, bytes] of COLUMN_BYTES.entries())
          fill(this.#file, columns[i] ?? names, count * bytes, (this.#starts[i] ?? 0) + first * bytes);
        const nameBytes = sumOf(columns[1], count);
        fill(this.#file, names, nameBytes, namesAt);
        namesAt += nameBytes;
        yield { first, count, columns, names };
      }
    } finally {
      freeBuffers([...columns, names]);
    }
  }

  /** sha256 of a file's content (32 bytes), undefined for sparse files and all that is none. */
  contentHash({ type, hashNumber, isSparse }: LayerRow | TarRow): Buffer | undefined {
    return type !== "file" || isSparse ? undefined : this.#hash(hashNumber);
  }

  /** sha256 of what a symlink leads to; undefined for all that is none, and where an older driver made the index. */
  targetHash({ type, hashNumber }: LayerRow): Buffer | undefined {
    return type !== "symlink" || hashNumber === 0 ? undefined : this.#hash(hashNumber);
  }

  /** What a sparse file holds; undefined where it has too many ranges to be known. */
  sparseContent({ hashNumber }: LayerRow): SparseFacts | undefined {
    const { count, first } = readSparseNumbers(this.#hash(hashNumber + 1));
    if (count === undefined) return undefined;
    const bytes = read(this.#file, count * RANGE_BYTES, this.#start("ranges") + first * RANGE_BYTES);
    return { ranges: rangesIn(bytes), hash: this.#hash(hashNumber) };
  }

  /** Bytes of a file without its holes. */
  heldBytes({ size, hashNumber, isSparse }: LayerRow): number {
    return isSparse ? readSparseNumbers(this.#hash(hashNumber + 1)).bytes : size;
  }

  #hash(number: number): Buffer {
    return read(this.#file, HASH_BYTES, this.#start("hashes") + (number - 1) * HASH_BYTES);
  }

  #start(part: "names" | "hashes" | "ranges" | "checksum"): number {
    return this.#starts.at({ names: -4, hashes: -3, ranges: -2, checksum: -1 }[part]) ?? 0;
  }
}

function* rangesIn(bytes: Buffer): Generator<ByteRange> {
  for (let at = 0; at < bytes.length; at += RANGE_BYTES)
    yield { start: bytes.readDoubleLE(at), end: bytes.readDoubleLE(at + 8) };
}

function factsOf([modes, sizes, mtimes, hashes]: readonly [Buffer, Buffer, Buffer, Buffer], row: number) {
  const mtime = mtimes.readDoubleLE(8 * row);
  return {
    mode: modes.readUInt16LE(2 * row),
    size: sizes.readDoubleLE(8 * row),
    mtime: Number.isNaN(mtime) ? undefined : mtime,
    hashNumber: hashes.readUInt32LE(4 * row),
  };
}

function sumOf(numbers: Uint8Array, count: number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += numbers[i] ?? 0;
  return sum;
}

function isPlainName(name: Buffer): boolean {
  if (name.length === 0 || name.includes(SLASH) || name.includes(0)) return false;
  return !(name[0] === DOT && (name.length === 1 || (name.length === 2 && name[1] === DOT)));
}

function startsOf(rows: number, nameBytes: number, hashes: number, ranges: number): readonly number[] {
  const starts = [INDEX_HEADER_BYTES];
  const columns = COLUMN_BYTES.map((each) => each * rows);
  for (const bytes of [...columns, nameBytes, hashes * HASH_BYTES, ranges * RANGE_BYTES])
    starts.push((starts.at(-1) ?? 0) + bytes);
  return starts;
}

/** Reads the whole file once. Throws "corrupt" if it is longer or shorter, or its checksum does not fit. */
function checkWhole(file: number, bodyBytes: number): void {
  if (fstatSync(file).size !== bodyBytes + CHECKSUM_BYTES) throw corruptIndex("it is not as long as it should be");
  const hash = createHash("sha256");
  const part = Buffer.allocUnsafeSlow(Math.min(CHECK_BYTES, bodyBytes));
  for (let at = 0; at < bodyBytes; at += CHECK_BYTES)
    hash.update(fill(file, part, Math.min(CHECK_BYTES, bodyBytes - at), at));
  freeBuffers([part]);
  if (!hash.digest().equals(read(file, CHECKSUM_BYTES, bodyBytes))) throw corruptIndex("its checksum does not fit");
}

function read(file: number, length: number, position: number): Buffer {
  return fill(file, Buffer.alloc(length), length, position);
}

/** Reads the first `length` bytes of a buffer anew and returns them. */
function fill(file: number, buffer: Buffer, length: number, position: number): Buffer {
  for (let at = 0; at < length; ) {
    const done = readSync(file, buffer, at, length - at, position + at);
    if (done === 0) throw corruptIndex("it is too short");
    at += done;
  }
  return buffer.subarray(0, length);
}
