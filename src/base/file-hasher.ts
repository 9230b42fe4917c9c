import { createHash, type Hash } from "node:crypto";
import type { ByteRange } from "./byte-ranges.ts";
import { type DiskFile, DiskReader } from "./disk-reader.ts";
import { DriverError, errnoOf } from "./errors.ts";

/** What a file holds. */
export interface FileHash {
  /** Lower-case hex. */
  readonly hex: string;
  /** Bytes that were read. */
  readonly bytes: number;
  readonly inode: number;
}

/** After so many bytes whatever else waits for this thread has its turn: some 20 ms. */
const TURN_BYTES = 32 * 1024 * 1024;
/** What opening a file takes, in bytes that could be read meanwhile. */
const OPEN_BYTES = 16 * 1024;

/**
 * Hashes what the disk has of files, whatever is in memory of them, one after the other. Holds its thread for milliseconds:
 * for a worker.
 */
export class FileHasher implements Disposable {
  readonly #disk = new DiskReader();
  readonly #signal: AbortSignal;
  readonly #onBytes: (bytes: number) => void;
  #sinceTurn = 0;

  /** `onBytes` is told what was read, a part at a time; the signal ends the hashing with its reason. */
  constructor(options: { readonly signal: AbortSignal; readonly onBytes?: (bytes: number) => void }) {
    this.#signal = options.signal;
    this.#onBytes = options.onBytes ?? (() => undefined);
  }

  /** The hash of a file, or of some parts of it, which begin and end with blocks. Rejects with the system's error, ELOOP for a link, and "corrupt" for what is no file. */
  async hash(path: Buffer, algorithm = "sha256", ranges?: Iterable<ByteRange>): Promise<FileHash> {
    using file = this.#disk.open(path);
    const { ino, size } = file.stats;
    if (!file.stats.isFile()) throw new DriverError("corrupt", "it is no file");
    const hash = createHash(algorithm);
    let bytes = 0;
    for (const range of ranges ?? [{ start: 0, end: size }]) bytes += await this.#hashRange(file, range, hash);
    await this.#takeTurns(OPEN_BYTES);
    return { hex: hash.digest("hex"), bytes, inode: ino };
  }

  [Symbol.dispose](): void {
    this.#disk[Symbol.dispose]();
  }

  /** How many bytes there were: fewer where the file ends before. */
  async #hashRange(file: DiskFile, { start, end }: ByteRange, hash: Hash): Promise<number> {
    let at = start;
    for (let read = -1; at < end && read !== 0; at += read) {
      const part = this.#disk.read(file, at, end - at);
      hash.update(part);
      read = part.length;
      this.#onBytes(read);
      await this.#takeTurns(read);
    }
    return at - start;
  }

  /** A cancel reaches this thread only when it rests. */
  async #takeTurns(bytes: number): Promise<void> {
    this.#sinceTurn += bytes;
    if (this.#sinceTurn >= TURN_BYTES) {
      this.#sinceTurn = 0;
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    this.#signal.throwIfAborted();
  }
}

/** Whether it was the file's or the disk's fault that something could not be read, and not that nobody wants it any more. */
export function isUnreadable(error: unknown): boolean {
  if (error instanceof DriverError) return error.kind === "corrupt";
  const errno = errnoOf(error);
  // The runtime's own codes tell of mistakes in a call.
  return errno !== undefined && !errno.startsWith("ERR_");
}
