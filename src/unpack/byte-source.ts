/**
 * Bytes that come in parts, with the possibility to look ahead and to give back what was not used. A part is valid until
 * more is asked for, here as with what the parts come from.
 */
export class ByteSource {
  readonly #parts: AsyncIterator<Uint8Array>;
  /** What was given back: comes next. */
  #ahead: Buffer = Buffer.alloc(0);

  constructor(parts: AsyncIterable<Uint8Array>) {
    this.#parts = parts[Symbol.asyncIterator]();
  }

  /** The next part, never empty; undefined at the end. */
  async next(): Promise<Buffer | undefined> {
    if (this.#ahead.length > 0) {
      const part = this.#ahead;
      this.#ahead = Buffer.alloc(0);
      return part;
    }
    for (;;) {
      const { done, value } = await this.#parts.next();
      if (done) return undefined;
      if (value.length > 0) return Buffer.from(value.buffer, value.byteOffset, value.length);
    }
  }

  /** What is there to be taken without waiting: nothing, perhaps, though more comes. */
  get ahead(): Buffer {
    return this.#ahead;
  }

  /** Takes so many of the bytes that are there. */
  skip(length: number): void {
    this.#ahead = this.#ahead.subarray(length);
  }

  /** Gives back the end of the last part. */
  unread(rest: Buffer): void {
    this.#ahead = this.#ahead.length === 0 ? rest : Buffer.concat([rest, this.#ahead]);
  }

  /** The next `length` bytes without taking them; fewer at the end. */
  async peek(length: number): Promise<Buffer> {
    while (this.#ahead.length < length) {
      const before = Buffer.from(this.#ahead);
      this.#ahead = Buffer.alloc(0);
      const part = await this.next();
      this.#ahead = part === undefined ? before : Buffer.concat([before, part]);
      if (part === undefined) break;
    }
    return this.#ahead.subarray(0, length);
  }

  /** Takes the next `length` bytes; undefined if there are not so many. */
  async take(length: number): Promise<Buffer | undefined> {
    const bytes = await this.peek(length);
    if (bytes.length < length) return undefined;
    this.#ahead = this.#ahead.subarray(length);
    return bytes;
  }

  /** Tells the source that no more is wanted. Does not wait: it may be waiting for bytes itself. */
  close(): void {
    this.#parts.return?.().then(undefined, () => {
      // A source that fails to close has nobody to tell: all that was wanted of it is there, or has failed already.
    });
  }
}
