import { closeSync, constants, fstatSync, ftruncateSync, openSync, read, rmSync, writeSync } from "node:fs";
import { type ByteRange, errnoOf } from "../base/index.ts";
import { readIngestMap, removeIngestMap, writeIngestMap } from "./ingest-map.ts";

/** Which blob comes in, and from whom. */
export interface IngestOptions {
  readonly path: string;
  /** Of the whole blob. */
  readonly sizeBytes: number;
  /** Which repository gives the bytes. What another one gave proves nothing of this one, so it is not gone on with. */
  readonly origin: string;
  /** True where nobody asks who gave what. */
  readonly takesAnyOrigin?: boolean;
}

/** Less than this is sooner fetched again than looked after. */
const WORTH_KEEPING_BYTES = 64 * 1024;

/**
 * A blob on its way in. What an earlier pull left is gone on with; a map beside the file says whose bytes those are.
 * Writing is synchronous: for a worker.
 */
export class IngestFile {
  readonly path: string;
  /** What was there when it was opened. */
  readonly there: readonly ByteRange[];
  readonly #options: IngestOptions;
  readonly #fd: number;
  #writtenBytes = 0;
  #hasMap: boolean;
  #open = true;

  constructor(options: IngestOptions) {
    this.path = options.path;
    this.#options = options;
    const left = openLeft(options);
    this.#fd = left?.fd ?? openAnew(options.path);
    this.there = left?.there ?? [];
    this.#hasMap = left !== undefined;
  }

  /** Writes bytes where they belong. A full disk is an error here, though the system call calls it a short write. */
  write(chunk: Uint8Array, offset: number): void {
    for (let done = 0; done < chunk.length; ) {
      done += writeSync(this.#fd, chunk, done, chunk.length - done, offset + done);
    }
    this.#writtenBytes += chunk.length;
    if (!this.#hasMap && this.#writtenBytes >= WORTH_KEEPING_BYTES) this.#beginMap();
  }

  /** Reads back what was written; how many bytes that were. */
  read(into: Buffer, offset: number): Promise<number> {
    return new Promise((resolve, reject) => {
      read(this.#fd, into, 0, into.length, offset, (error, bytesRead) => (error ? reject(error) : resolve(bytesRead)));
    });
  }

  /** Throws away what was written: the source starts over. */
  restart(): void {
    removeIngestMap(this.path);
    this.#hasMap = false;
    this.#writtenBytes = 0;
    ftruncateSync(this.#fd, 0);
  }

  /** No more is written. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.#fd);
  }

  /** Closes the file and leaves it to the next pull, if it is worth that. */
  keep(): void {
    if (this.#hasMap) this.close();
    else this.discard();
  }

  /** Closes and removes the file; only what belongs to it goes if it was renamed away. */
  discard(): void {
    this.close();
    rmSync(this.path, { force: true });
    removeIngestMap(this.path);
  }

  #beginMap(): void {
    writeIngestMap(this.path, { origin: this.#options.origin, parts: undefined });
    this.#hasMap = true;
  }
}

/** What an earlier pull from the same repository left; undefined if nothing of it is of use. */
function openLeft({ path, sizeBytes, origin, takesAnyOrigin }: IngestOptions) {
  const map = readIngestMap(path);
  if (map === undefined || (map.origin !== origin && takesAnyOrigin !== true)) return undefined;
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW);
  } catch (error) {
    if (["ENOENT", "EISDIR", "ELOOP"].includes(errnoOf(error) ?? "")) return undefined;
    throw error;
  }
  const endBytes = Math.min(fstatSync(fd).size, sizeBytes);
  const parts = map.parts ?? [{ start: 0, end: endBytes }];
  const there = parts.map(({ start, end }) => ({ start, end: Math.min(end, endBytes) }));
  return { fd, there: there.filter(({ start, end }) => start < end) };
}

function openAnew(path: string): number {
  removeIngestMap(path);
  rmSync(path, { recursive: true, force: true });
  return openSync(path, "wx+", 0o600);
}
