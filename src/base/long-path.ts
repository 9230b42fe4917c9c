import { closeSync, constants, openSync } from "node:fs";

/** What the kernel takes for a path in one call, its final NUL included. */
const PATH_MAX = 4096;
const SLASH = 0x2f;
const FOLDER_ITSELF = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/**
 * Calls with a path that is short enough for a system call: a longer one is reached through a descriptor of a folder on
 * its way. All but its last part must be folders. Synchronous: for a worker.
 */
export function withShortPath<T>(path: Buffer, call: (path: Buffer) => T): T {
  if (path.length < PATH_MAX) return call(path);
  const cut = path.lastIndexOf(SLASH, PATH_MAX - 1);
  const folder = openSync(path.subarray(0, cut), FOLDER_ITSELF);
  try {
    return withShortPath(Buffer.concat([Buffer.from(`/proc/self/fd/${folder}`), path.subarray(cut)]), call);
  } finally {
    closeSync(folder);
  }
}
