import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from "node:fs";
import { errnoOf } from "./errors.ts";
import { freeBuffers } from "./free-buffers.ts";
import { withShortPath } from "./long-path.ts";

/** A file that is open for reading. */
export interface DiskFile extends Disposable {
  readonly stats: Stats;
  /** Another one when it turns out that the file cannot be read past the page cache. */
  descriptor: number;
  isDirect: boolean;
}

/** Direct reads begin at multiples of this, and end there or with the file: no disk has larger blocks. */
export const DISK_BLOCK_BYTES = 4096;
const PART_BYTES = 1024 * 1024;
/** What memory the runtime gives begins at a multiple of. */
const MEMORY_STEP = 8;
/** A link, a FIFO or a device that is where a file should be is an error, and never waited for. */
const FILE_ITSELF = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * Reads files from the disk itself (O_DIRECT), a part at a time, through one buffer: what the kernel has of them in memory
 * may be right while the disk is not, and stays as it is, so pods lose nothing of theirs. Where a file system cannot do
 * that, files are read like any others. Synchronous: for a worker.
 */
export class DiskReader implements Disposable {
  readonly #memory = Buffer.allocUnsafeSlow(PART_BYTES + DISK_BLOCK_BYTES);
  /** Where in the memory the disk can write to: it wants whole blocks, and the runtime tells no addresses. */
  #from = 0;

  /** Opens a file, or whatever else is there. Throws the system's error, ELOOP for a link. */
  open(path: Buffer): DiskFile {
    return withShortPath(path, (short) => {
      try {
        return openFile(openSync(short, FILE_ITSELF | constants.O_DIRECT), true);
      } catch (error) {
        if (errnoOf(error) !== "EINVAL") throw error;
        return openFile(openSync(short, FILE_ITSELF), false);
      }
    });
  }

  /** Some bytes from `at`, a multiple of a block, on; none at the end. Valid until the next read. */
  read(file: DiskFile, at: number, mostBytes = PART_BYTES): Buffer {
    const bytes = Math.min(PART_BYTES, Math.ceil(mostBytes / DISK_BLOCK_BYTES) * DISK_BLOCK_BYTES);
    const got = file.isDirect ? this.#readDirectly(file, at, bytes) : undefined;
    if (got !== undefined) return this.#got(got, mostBytes);
    return this.#got(readSync(file.descriptor, this.#memory, this.#from, bytes, at), mostBytes);
  }

  [Symbol.dispose](): void {
    freeBuffers([this.#memory]);
  }

  #got(bytes: number, mostBytes: number): Buffer {
    return this.#memory.subarray(this.#from, this.#from + Math.min(bytes, mostBytes));
  }

  /** Undefined if it cannot be, wherever in memory the bytes are to go: the file is opened anew, for reads of the usual kind. */
  #readDirectly(file: DiskFile, at: number, bytes: number): number | undefined {
    for (let tried = 0; tried < DISK_BLOCK_BYTES; tried += MEMORY_STEP) {
      try {
        return readSync(file.descriptor, this.#memory, this.#from, bytes, at);
      } catch (error) {
        if (errnoOf(error) !== "EINVAL") throw error;
        this.#from = (this.#from + MEMORY_STEP) % DISK_BLOCK_BYTES;
      }
    }
    const again = openSync(`/proc/self/fd/${file.descriptor}`, constants.O_RDONLY);
    closeSync(file.descriptor);
    file.descriptor = again;
    file.isDirect = false;
    return undefined;
  }
}

function openFile(descriptor: number, isDirect: boolean): DiskFile {
  try {
    const file: DiskFile = {
      stats: fstatSync(descriptor),
      descriptor,
      isDirect,
      [Symbol.dispose]: () => closeSync(file.descriptor),
    };
    return file;
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}
