import { closeSync, ftruncateSync, openSync, rmSync, writeSync } from "node:fs";
import { errnoOf } from "../base/index.ts";

/** A blob on its way in: written in order, thrown away unless it is kept. Synchronous: for a worker. */
export class IngestFile {
  readonly path: string;
  readonly #fd: number;
  #length = 0;
  #open = true;

  /** Begins anew, whatever an earlier try left at the path. */
  constructor(path: string) {
    this.path = path;
    this.#fd = openAnew(path);
  }

  get length(): number {
    return this.#length;
  }

  /** Appends bytes. A full disk is an error here, though the system call calls it a short write. */
  write(chunk: Uint8Array): void {
    for (let done = 0; done < chunk.length; ) {
      const written = writeSync(this.#fd, chunk, done, chunk.length - done, this.#length);
      done += written;
      this.#length += written;
    }
  }

  /** Throws away what was written: the source starts over. */
  restart(): void {
    ftruncateSync(this.#fd, 0);
    this.#length = 0;
  }

  /** No more is written. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.#fd);
  }

  /** Closes and removes the file; nothing happens if it was renamed away. */
  discard(): void {
    this.close();
    rmSync(this.path, { force: true });
  }
}

function openAnew(path: string): number {
  try {
    return openSync(path, "w", 0o600);
  } catch (error) {
    if (errnoOf(error) !== "EISDIR") throw error;
    rmSync(path, { recursive: true });
    return openSync(path, "wx", 0o600);
  }
}
