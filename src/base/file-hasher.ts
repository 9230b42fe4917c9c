import { createHash } from "node:crypto";
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { DriverError, errnoOf } from "./errors.ts";
import { freeBuffers } from "./free-buffers.ts";
import { withShortPath } from "./long-path.ts";

/** What a file holds. */
export interface FileHash {
  /** Lower-case hex. */
  readonly hex: string;
  /** Bytes that were read. */
  readonly bytes: number;
  readonly inode: number;
}

const PART_BYTES = 1024 * 1024;
/** After so many bytes whatever else waits for this thread has its turn: some 20 ms. */
const TURN_BYTES = 32 * PART_BYTES;
/** A link, a FIFO or a device that is where a file should be is an error, and never waited for. */
const FILE_ITSELF = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Hashes files one after the other, through one buffer. Holds its thread for milliseconds: for a worker. */
export class FileHasher implements Disposable {
  readonly #part = Buffer.allocUnsafeSlow(PART_BYTES);
  readonly #signal: AbortSignal;
  readonly #onBytes: (bytes: number) => void;
  #sinceTurn = 0;

  /** `onBytes` is told what was read, a part at a time; the signal ends the hashing with its reason. */
  constructor(options: { readonly signal: AbortSignal; readonly onBytes?: (bytes: number) => void }) {
    this.#signal = options.signal;
    this.#onBytes = options.onBytes ?? (() => undefined);
  }

  /** The hash of a file. Rejects with the system's error, ELOOP for a link, and "corrupt" for what is no file. */
  async hash(path: Buffer, algorithm = "sha256"): Promise<FileHash> {
    const file = withShortPath(path, (short) => openSync(short, FILE_ITSELF));
    try {
      const found = fstatSync(file);
      if (!found.isFile()) throw new DriverError("corrupt", "it is no file");
      const hash = createHash(algorithm);
      let bytes = 0;
      for (let read = this.#read(file); read > 0; read = this.#read(file)) {
        hash.update(this.#part.subarray(0, read));
        bytes += read;
        this.#onBytes(read);
        await this.#takeTurns(read);
      }
      await this.#takeTurns(PART_BYTES / 64);
      return { hex: hash.digest("hex"), bytes, inode: found.ino };
    } finally {
      closeSync(file);
    }
  }

  [Symbol.dispose](): void {
    freeBuffers([this.#part]);
  }

  #read(file: number): number {
    return readSync(file, this.#part);
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
  return error instanceof DriverError ? error.kind === "corrupt" : errnoOf(error) !== undefined;
}
