/** Bytes from `start` up to, not including, `end`. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** Which bytes of something are there: ranges that neither overlap nor touch, in order. */
export class ByteRanges {
  #ranges: ByteRange[] = [];

  constructor(ranges: readonly ByteRange[] = []) {
    for (const range of ranges) this.add(range);
  }

  /** Adds bytes; those that are there already stay. */
  add({ start, end }: ByteRange): void {
    if (start >= end) return;
    const last = this.#ranges[this.#ranges.length - 1];
    if (last === undefined) {
      this.#ranges.push({ start, end });
      return;
    }
    // What comes in order: most of the time.
    if (last.start <= start && start <= last.end) {
      this.#ranges[this.#ranges.length - 1] = { start: last.start, end: Math.max(last.end, end) };
      return;
    }
    const touching = this.#ranges.filter((range) => range.start <= end && start <= range.end);
    const before = this.#ranges.filter((range) => range.end < start);
    const after = this.#ranges.filter((range) => range.start > end);
    const merged = {
      start: Math.min(start, touching[0]?.start ?? start),
      end: Math.max(end, touching.at(-1)?.end ?? end),
    };
    this.#ranges = [...before, merged, ...after];
  }

  clear(): void {
    this.#ranges = [];
  }

  /** How many bytes are there in all. */
  get total(): number {
    return this.#ranges.reduce((sum, { start, end }) => sum + end - start, 0);
  }

  /** How many bytes are there from the first one on without a gap. */
  get prefix(): number {
    const first = this.#ranges[0];
    return first?.start === 0 ? first.end : 0;
  }

  /** The ranges, in order, as they are now. */
  list(): readonly ByteRange[] {
    return [...this.#ranges];
  }

  /** What is missing of the first `size` bytes, in order. */
  gaps(size: number): ByteRange[] {
    const gaps: ByteRange[] = [];
    let at = 0;
    for (const { start, end } of this.#ranges) {
      if (start >= size) break;
      if (start > at) gaps.push({ start: at, end: start });
      at = end;
    }
    if (at < size) gaps.push({ start: at, end: size });
    return gaps;
  }
}
