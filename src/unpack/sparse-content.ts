import { type ByteRange, DISK_BLOCK_BYTES } from "../base/index.ts";

/** What a sparse file holds beside its holes. */
export interface SparseFacts {
  /** Where it has data: whole blocks, or up to its end, in order. Small holes between them count. */
  readonly ranges: Iterable<ByteRange>;
  /** sha256 of what is there, one range after the other. */
  readonly hash: Buffer;
}

/** A hole that is no larger is read with what is around it. */
const SMALL_HOLE_BYTES = 16 * 1024;

/** Follows where one sparse file is written: what has to be read to read all of that. */
export class SparseContent {
  /** Where it is written next. */
  offset = 0;
  readonly #size: number;
  /** Start and end of one range after the other: there may be half a million. */
  readonly #numbers: number[] = [];
  #isInOrder = true;

  /** `size` is that of the whole file. */
  constructor(size: number) {
    this.#size = size;
  }

  /** Whether it was written from its beginning to its end. Tars of another order may be read, but nobody writes them. */
  get isInOrder(): boolean {
    return this.#isInOrder;
  }

  get rangeCount(): number {
    return this.#numbers.length / 2;
  }

  /** Bytes of all ranges. */
  get bytes(): number {
    let bytes = 0;
    for (const { start, end } of this.ranges()) bytes += end - start;
    return bytes;
  }

  /** So many bytes were written at the offset, which is behind them now. */
  wrote(bytes: number): void {
    const from = this.offset - (this.offset % DISK_BLOCK_BYTES);
    this.offset += bytes;
    const to = Math.min(this.#size, Math.ceil(this.offset / DISK_BLOCK_BYTES) * DISK_BLOCK_BYTES);
    const [start = 0, end = Number.NEGATIVE_INFINITY] = this.#numbers.slice(-2);
    if (from < start) this.#isInOrder = false;
    if (from >= start && from - end <= SMALL_HOLE_BYTES) this.#numbers[this.#numbers.length - 1] = Math.max(end, to);
    else this.#numbers.push(from, to);
  }

  *ranges(): Generator<ByteRange> {
    for (let at = 0; at < this.#numbers.length; at += 2)
      yield { start: this.#numbers[at] ?? 0, end: this.#numbers[at + 1] ?? 0 };
  }
}
