import { Column } from "./column.ts";
import { createHashKey, type HashKey, keyedHash } from "./keyed-hash.ts";

/** Names of one table in all; what has more is refused, as its names alone would fill the memory that we may take. */
export const MAX_ALL_NAMES_BYTES = 128 * 1024 * 1024;

const SEGMENT_BITS = 18;
const SEGMENT_BYTES = 1 << SEGMENT_BITS;
const MAX_LOAD = 0.7;

/**
 * Paths as rows of (row of the folder, name in it), row 0 being the root: about 20 bytes a row beside the name, and one
 * lookup for each part of a path. Rows are never taken away, and a folder's row is lower than those of what is in it.
 */
export class NameTable {
  readonly #key: HashKey = createHashKey();
  readonly #parents = new Column("u32");
  readonly #offsets = new Column("u32");
  readonly #lengths = new Column("u8");
  readonly #segments: Buffer[] = [];
  #end = 0;
  #nameBytes = 0;
  #size = 1;
  /** Rows by hash, 0 where free: the root is never looked up. */
  #slots = new Uint32Array(1024);

  /** Rows, the root included. */
  get size(): number {
    return this.#size;
  }

  /** Bytes of all names together. */
  get nameBytes(): number {
    return this.#nameBytes;
  }

  /** Parents and lengths of names, in the order in which they are kept in a file. */
  get columns(): readonly Column[] {
    return [this.#parents, this.#lengths];
  }

  /** The row of the folder that this one is in. */
  parent(row: number): number {
    return this.#parents.get(row);
  }

  /** The row's name in its folder: a view, not to be changed. Empty for the root. */
  name(row: number): Buffer {
    const offset = this.#offsets.get(row);
    const segment = this.#segments[offset >>> SEGMENT_BITS];
    const from = offset & (SEGMENT_BYTES - 1);
    return segment === undefined ? Buffer.alloc(0) : segment.subarray(from, from + this.#lengths.get(row));
  }

  /** The row's path from the root, without a slash in front. Empty for the root. */
  path(row: number): Buffer {
    let length = -1;
    for (let at = row; at !== 0; at = this.parent(at)) length += 1 + this.#lengths.get(at);
    const path = Buffer.alloc(Math.max(length, 0), "/");
    for (let at = row, end = length; at !== 0; at = this.parent(at)) {
      const name = this.name(at);
      path.set(name, end - name.length);
      end -= name.length + 1;
    }
    return path;
  }

  /** The row of the name `bytes[start..end]` in a folder, or 0 if there is none. */
  find(parent: number, bytes: Buffer, start = 0, end = bytes.length): number {
    const mask = this.#slots.length - 1;
    for (let slot = keyedHash(this.#key, parent, bytes, start, end) & mask; ; slot = (slot + 1) & mask) {
      const row = this.#slots[slot] ?? 0;
      if (row === 0 || this.#is(row, parent, bytes, start, end)) return row;
    }
  }

  /** Adds a name that `find` did not find and returns its row; undefined once the names are too long together. */
  add(parent: number, bytes: Buffer, start = 0, end = bytes.length): number | undefined {
    const length = end - start;
    if (this.#nameBytes + length > MAX_ALL_NAMES_BYTES) return undefined;
    const row = this.#size++;
    this.#parents.set(row, parent);
    this.#lengths.set(row, length);
    this.#offsets.set(row, this.#store(bytes, start, end));
    this.#nameBytes += length;
    if (this.#size > this.#slots.length * MAX_LOAD) this.#grow();
    else this.#insert(row);
    return row;
  }

  #is(row: number, parent: number, bytes: Buffer, start: number, end: number): boolean {
    if (this.#parents.get(row) !== parent || this.#lengths.get(row) !== end - start) return false;
    const offset = this.#offsets.get(row);
    const segment = this.#segments[offset >>> SEGMENT_BITS];
    const from = offset & (SEGMENT_BYTES - 1);
    return segment !== undefined && segment.compare(bytes, start, end, from, from + end - start) === 0;
  }

  /** Copies a name to where it stays; no name lies across two segments. */
  #store(bytes: Buffer, start: number, end: number): number {
    const room = this.#segments.length * SEGMENT_BYTES - this.#end;
    if (room < end - start) {
      this.#end += room;
      this.#segments.push(Buffer.allocUnsafeSlow(SEGMENT_BYTES));
    }
    const offset = this.#end;
    bytes.copy(this.#segments[offset >>> SEGMENT_BITS] ?? bytes, offset & (SEGMENT_BYTES - 1), start, end);
    this.#end += end - start;
    return offset;
  }

  #insert(row: number): void {
    const mask = this.#slots.length - 1;
    const name = this.name(row);
    let slot = keyedHash(this.#key, this.parent(row), name, 0, name.length) & mask;
    while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
    this.#slots[slot] = row;
  }

  #grow(): void {
    this.#slots = new Uint32Array(2 * this.#slots.length);
    for (let row = 1; row < this.#size; row++) this.#insert(row);
  }
}
