import { closeSync, constants, open, readFileSync, readlinkSync } from "node:fs";
import { promisify } from "node:util";

// Linux' O_PATH, for which Node has no name: a handle on the place itself, without opening the file there.
const O_PATH = 0o10000000;

const openFile = promisify(open);

/** How to treat the path's last part; links above it are followed. */
export interface PathHandleOptions {
  /** A symlink there: followed, or the handle is on the link itself (with `folder`: ENOTDIR). */
  readonly follow: boolean;
  /** Whether anything but a folder is an ENOTDIR. */
  readonly folder: boolean;
}

/** Calls `use` with a descriptor that stands for the path, whatever happens to its name meanwhile, and closes it. */
export async function withPathHandle<T>(
  path: string,
  options: PathHandleOptions,
  use: (fd: number) => Promise<T>,
): Promise<T> {
  const follow = options.follow ? 0 : constants.O_NOFOLLOW;
  const fd = await openFile(path, O_PATH | follow | (options.folder ? constants.O_DIRECTORY : 0));
  try {
    return await use(fd);
  } finally {
    // Closing a handle on a place asks no file system: not worth a thread.
    closeSync(fd);
  }
}

/** A folder that is held as a place: the same one, whatever happens to its names meanwhile. To be disposed of. */
export class HeldFolder implements Disposable {
  /** Where it was, without links, when it was opened. */
  readonly path: string;
  readonly #fd: number;
  #isHeld = true;

  private constructor(path: string, fd: number) {
    this.#fd = fd;
    this.path = path;
  }

  /** Opens the folder that a path leads to, links included. Failures are those of node:fs. */
  static async open(path: string): Promise<HeldFolder> {
    const fd = await openFile(path, O_PATH | constants.O_DIRECTORY);
    try {
      // The kernel's own memory, as in `mountIdOfHandle`.
      return new HeldFolder(readlinkSync(pathOfHandle(fd)), fd);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /** Its descriptor, undefined once it was disposed of. */
  get fd(): number | undefined {
    return this.#isHeld ? this.#fd : undefined;
  }

  [Symbol.dispose](): void {
    if (this.#isHeld) closeSync(this.#fd);
    this.#isHeld = false;
  }
}

/** A path that leads to just what the descriptor stands for. */
export function pathOfHandle(fd: number): string {
  return `/proc/self/fd/${fd}`;
}

/** The kernel's number of the mount that the descriptor's file lies on. */
export function mountIdOfHandle(fd: number): number {
  // The kernel's own memory: read in microseconds, whatever the file system does that the handle is on.
  const text = readFileSync(`/proc/self/fdinfo/${fd}`, "latin1");
  const line = /^mnt_id:\s*(\d+)$/m.exec(text);
  if (line === null) throw new Error(`/proc/self/fdinfo/${fd} has no mnt_id`);
  return Number(line[1]);
}
