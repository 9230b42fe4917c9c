import { freeBuffers } from "../base/index.ts";
import { createHashKey, type HashKey, keyedHash } from "./keyed-hash.ts";
import { PathTable } from "./path-table.ts";

/** Names of one table in all; what has more is refused, as its names alone would fill the memory that we may take. */
export const MAX_ALL_NAMES_BYTES = 128 * 1024 * 1024;

const MAX_LOAD = 0.7;

/** Paths that can be looked up, one lookup for each part: about 20 bytes a row beside the name. */
export class NameTable {
  readonly paths = new PathTable();
  readonly #key: HashKey = createHashKey();
  /** Rows by hash, 0 where free: the root is never looked up. */
  #slots = new Uint32Array(1024);

  /** The row of the name `bytes[start..end]` in a folder, or 0 if there is none. */
  find(parent: number, bytes: Buffer, start = 0, end = bytes.length): number {
    const mask = this.#slots.length - 1;
    for (let slot = keyedHash(this.#key, parent, bytes, start, end) & mask; ; slot = (slot + 1) & mask) {
      const row = this.#slots[slot] ?? 0;
      if (row === 0 || this.paths.is(row, parent, bytes, start, end)) return row;
    }
  }

  /** Adds a name that `find` did not find and returns its row; undefined once the names are too long together. */
  add(parent: number, bytes: Buffer, start = 0, end = bytes.length): number | undefined {
    if (this.paths.nameBytes + end - start > MAX_ALL_NAMES_BYTES) return undefined;
    const row = this.paths.add(parent, bytes, start, end);
    if (this.paths.size > this.#slots.length * MAX_LOAD) this.#grow();
    else this.#insert(row);
    return row;
  }

  /** Gives all memory back at once. */
  free(): void {
    this.paths.free();
    freeBuffers([this.#slots]);
  }

  #insert(row: number): void {
    const mask = this.#slots.length - 1;
    const name = this.paths.name(row);
    let slot = keyedHash(this.#key, this.paths.parent(row), name, 0, name.length) & mask;
    while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
    this.#slots[slot] = row;
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Uint32Array(2 * old.length);
    freeBuffers([old]);
    for (let row = 1; row < this.paths.size; row++) this.#insert(row);
  }
}
