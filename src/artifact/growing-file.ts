import { closeSync, openSync, readSync } from "node:fs";
import { DriverError, freeBuffers } from "../base/index.ts";

// The shared cells: how many bytes may be read (plus END_MARK once no more come), and how the writer ended.
const AVAILABLE = 0;
const OUTCOME = 1;
const RUNNING = 0n;
const COMPLETE = 1n;
const ABANDONED = 2n;
const END_MARK = 1n << 60n;
/** Zlib rests from when it has used up a part until the thread that reads has time to give it another one. */
const READ_BYTES = 1024 * 1024;

/** The writer's side of a file that one thread writes while another reads it: the file is the buffer between them. */
export class Growth {
  readonly shared = new SharedArrayBuffer(2 * BigInt64Array.BYTES_PER_ELEMENT);
  readonly #cells = new BigInt64Array(this.shared);

  /** The file has so many bytes now. Nothing happens after the end. */
  advance(bytes: number): void {
    if (Atomics.load(this.#cells, AVAILABLE) >= END_MARK) return;
    Atomics.store(this.#cells, AVAILABLE, BigInt(bytes));
    Atomics.notify(this.#cells, AVAILABLE);
  }

  /** No more bytes come: all are there and verified. */
  complete(): void {
    // Whoever gave up meanwhile is not overruled.
    Atomics.compareExchange(this.#cells, OUTCOME, RUNNING, COMPLETE);
    this.#end();
  }

  /** No more bytes come, and those that are there are of no use. */
  abandon(): void {
    Atomics.store(this.#cells, OUTCOME, ABANDONED);
    this.#end();
  }

  /** The outcome is stored before the mark, so whoever sees the mark sees the outcome and the final count. */
  #end(): void {
    if (Atomics.load(this.#cells, AVAILABLE) < END_MARK) Atomics.add(this.#cells, AVAILABLE, END_MARK);
    Atomics.notify(this.#cells, AVAILABLE);
  }
}

/**
 * The reader's side: the file's bytes in order, as they become available, all in one buffer: a part is valid until the
 * next one is asked for. For a worker: it reads synchronously.
 */
export class GrowingFileReader {
  readonly #cells: BigInt64Array;
  readonly #fd: number;
  readonly #buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  #position = 0;

  constructor(path: string, shared: SharedArrayBuffer) {
    this.#fd = openSync(path, "r");
    this.#cells = new BigInt64Array(shared);
  }

  /** The file's bytes in order. Throws "cancelled" for an abandoned file. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    for (let part = await this.#read(); part !== undefined; part = await this.#read()) yield part;
    // Who asks for more is done with what was there.
    freeBuffers([this.#buffer]);
  }

  get isAbandoned(): boolean {
    return Atomics.load(this.#cells, OUTCOME) === ABANDONED;
  }

  /** Throws "cancelled" once the file is abandoned, also while what was read of it is still worked on. */
  throwIfAbandoned(): void {
    if (!this.isAbandoned) return;
    throw new DriverError("cancelled", "the layer's download was given up");
  }

  close(): void {
    closeSync(this.#fd);
  }

  async #read(): Promise<Buffer | undefined> {
    for (;;) {
      const cell = Atomics.load(this.#cells, AVAILABLE);
      const ended = cell >= END_MARK;
      this.throwIfAbandoned();
      const available = Number(ended ? cell - END_MARK : cell);
      if (available > this.#position) return this.#readUpTo(available);
      if (ended) return undefined;
      const waiting = Atomics.waitAsync(this.#cells, AVAILABLE, cell);
      if (waiting.async) await waiting.value;
    }
  }

  #readUpTo(available: number): Buffer {
    const wanted = Math.min(READ_BYTES, available - this.#position);
    const bytesRead = readSync(this.#fd, this.#buffer, 0, wanted, this.#position);
    if (bytesRead === 0)
      throw new DriverError("internal", "the file of a download is shorter than what was written to it");
    this.#position += bytesRead;
    return this.#buffer.subarray(0, bytesRead);
  }
}
