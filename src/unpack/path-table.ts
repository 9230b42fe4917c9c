import { freeBuffers } from "../base/index.ts";
import { Column } from "./column.ts";

const SEGMENT_BITS = 18;
const SEGMENT_BYTES = 1 << SEGMENT_BITS;

/**
 * Paths as rows of (row of the folder, name in it), row 0 being the root: 9 bytes a row beside the name. Rows are never
 * taken away, and a folder's row is lower than those of what is in it.
 */
export class PathTable {
  readonly #parents = new Column("u32");
  readonly #offsets = new Column("u32");
  readonly #lengths = new Column("u8");
  readonly #segments: Buffer[] = [];
  #end = 0;
  #nameBytes = 0;
  #size = 1;

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
    const path = Buffer.allocUnsafe(Math.max(length, 0)).fill("/");
    for (let at = row, end = length; at !== 0; at = this.parent(at)) {
      const name = this.name(at);
      path.set(name, end - name.length);
      end -= name.length + 1;
    }
    return path;
  }

  /** Whether a row is the name `bytes[start..end]` in a folder. */
  is(row: number, parent: number, bytes: Buffer, start: number, end: number): boolean {
    if (this.#parents.get(row) !== parent || this.#lengths.get(row) !== end - start) return false;
    const offset = this.#offsets.get(row);
    const segment = this.#segments[offset >>> SEGMENT_BITS];
    const from = offset & (SEGMENT_BYTES - 1);
    return segment !== undefined && segment.compare(bytes, start, end, from, from + end - start) === 0;
  }

  /** Adds the name `bytes[start..end]`, of 255 bytes at most, and returns its row. */
  add(parent: number, bytes: Buffer, start = 0, end = bytes.length): number {
    const row = this.#size++;
    this.#parents.set(row, parent);
    this.#lengths.set(row, end - start);
    this.#offsets.set(row, this.#store(bytes, start, end));
    this.#nameBytes += end - start;
    return row;
  }

  /** Gives all memory back at once; there are no rows any more. */
  free(): void {
    for (const column of [this.#parents, this.#offsets, this.#lengths]) column.free();
    freeBuffers(this.#segments.splice(0));
    this.#size = 0;
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
}
