import type { ByteRange } from "../base/index.ts";

/** A small blob on its way in, in memory: nothing of it is on disk before all of it was verified. */
export class HeldBytes {
  readonly there: readonly ByteRange[] = [];
  readonly #bytes: Buffer;
  #length = 0;

  constructor(sizeBytes: number) {
    this.#bytes = Buffer.allocUnsafe(sizeBytes);
  }

  /** Takes bytes that go on where the last ones ended: what cannot be read back comes in order. */
  write(chunk: Uint8Array, offset: number): void {
    if (offset !== this.#length) throw new Error("a small blob has a gap");
    this.#bytes.set(chunk, offset);
    this.#length += chunk.length;
  }

  restart(): void {
    this.#length = 0;
  }

  /** All of them, once all are there. */
  get bytes(): Buffer {
    if (this.#length !== this.#bytes.length) throw new Error("a small blob is not whole");
    return this.#bytes;
  }
}
