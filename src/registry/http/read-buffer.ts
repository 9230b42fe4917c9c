import { freeBuffers } from "../../base/index.ts";

/** How a socket brings its bytes. */
export interface ReadBufferOptions {
  readonly sizeBytes: number;
  /**
   * A read brings at most so much, and another one may follow before anybody looks: several go side by side into the
   * buffer, to be handed on together. Undefined: a read may fill the buffer, and none follows while its bytes are in use.
   */
  readonly readBytes?: number | undefined;
}

/** The memory that one socket reads into, used again and again. */
export class ReadBuffer {
  readonly #options: ReadBufferOptions;
  #buffer: Buffer;
  /** Buffers whose bytes were still in use when another one took their place. */
  readonly #held: Buffer[] = [];
  /** How much of the buffer was read into, and how much of that was handed on. */
  #filled = 0;
  #taken = 0;

  constructor(options: ReadBufferOptions) {
    this.#options = options;
    this.#buffer = Buffer.allocUnsafeSlow(options.sizeBytes);
  }

  /** Where the next read goes; `isInUse`: what was handed on must stay as it is. More memory is taken if it is `wanted`. */
  next(isInUse: boolean, wantedBytes = 0): Buffer {
    if (!isInUse && this.#held.length > 0) freeBuffers(this.#held.splice(0));
    if (this.isFull) {
      if (isInUse ? this.#mayReadOn : wantedBytes > this.#buffer.length) this.#replace(isInUse, wantedBytes);
      this.#filled = 0;
      this.#taken = 0;
    }
    return this.#filled === 0 ? this.#buffer : this.#buffer.subarray(this.#filled);
  }

  /** So many bytes were read. */
  filled(count: number): void {
    this.#filled += count;
    if (this.#filled > this.#buffer.length) throw new Error("a read brought more than there was room for");
  }

  /** No other read fits in: `take` has to be called before the next one. */
  get isFull(): boolean {
    const { readBytes } = this.#options;
    return readBytes === undefined ? this.#filled > 0 : this.#buffer.length - this.#filled < readBytes;
  }

  /** What was read since it was last called, a view; undefined if that is nothing. */
  take(): Buffer | undefined {
    const start = this.#taken;
    this.#taken = this.#filled;
    return start === this.#filled ? undefined : this.#buffer.subarray(start, this.#filled);
  }

  /** All of its memory, to be freed: nothing is read any more, and nothing is in use or will be taken. */
  release(): Buffer[] {
    this.#taken = this.#filled;
    return [this.#buffer, ...this.#held.splice(0)];
  }

  /** Whether a read may come while bytes are in use. */
  get #mayReadOn(): boolean {
    return this.#options.readBytes !== undefined;
  }

  #replace(isInUse: boolean, wantedBytes: number): void {
    if (isInUse) this.#held.push(this.#buffer);
    else freeBuffers([this.#buffer]);
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length, wantedBytes));
  }
}
