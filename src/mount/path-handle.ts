import { closeSync, constants, open, readFileSync } from "node:fs";
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
