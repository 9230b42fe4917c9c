import { freeBuffers } from "../base/index.ts";

/** The kinds of number that a column can hold. */
export type ColumnKind = "u8" | "u16" | "u32" | "f64";

const arrays = { u8: Uint8Array, u16: Uint16Array, u32: Uint32Array, f64: Float64Array } as const;
const ROW_BITS = 14;
const SEGMENT_ROWS = 1 << ROW_BITS;

/** One number for each row of a growing table. Grows in segments, so that nothing is ever copied or half empty. */
export class Column {
  readonly #kind: ColumnKind;
  readonly #segments: (Uint8Array | Uint16Array | Uint32Array | Float64Array)[] = [];

  constructor(kind: ColumnKind) {
    this.#kind = kind;
  }

  /** The row's number; 0 where none was set. */
  get(row: number): number {
    return this.#segments[row >>> ROW_BITS]?.[row & (SEGMENT_ROWS - 1)] ?? 0;
  }

  set(row: number, value: number): void {
    this.#segment(row >>> ROW_BITS)[row & (SEGMENT_ROWS - 1)] = value;
  }

  /** The first `rows` numbers as bytes (little-endian on all machines we run on), in parts that share our memory. */
  *bytes(rows: number): Generator<Buffer> {
    for (let row = 0; row < rows; row += SEGMENT_ROWS) {
      const segment = this.#segment(row >>> ROW_BITS);
      yield Buffer.from(segment.buffer, 0, Math.min(SEGMENT_ROWS, rows - row) * segment.BYTES_PER_ELEMENT);
    }
  }

  /** Gives the memory back at once: the garbage collection would let a full table lie beside the next one. */
  free(): void {
    freeBuffers(this.#segments.splice(0));
  }

  #segment(index: number): Uint8Array | Uint16Array | Uint32Array | Float64Array {
    for (;;) {
      const segment = this.#segments[index];
      if (segment !== undefined) return segment;
      this.#segments.push(new arrays[this.#kind](SEGMENT_ROWS));
    }
  }
}
