import { type BigIntStats, promises as fs } from "node:fs";

/** Whether two paths lead to one folder of one file system: what a bind mount shows at two places is one. */
export async function isSameFolder(first: string, second: string): Promise<boolean> {
  const [one, other] = await Promise.all([first, second].map(statIfPossible));
  return one !== undefined && other !== undefined && one.dev === other.dev && one.ino === other.ino;
}

async function statIfPossible(path: string): Promise<BigIntStats | undefined> {
  try {
    return await fs.stat(path, { bigint: true });
  } catch {
    // Whatever the reason (missing, a loop, too long for a path): it is not known to be the same as anything.
    return undefined;
  }
}

/** The number of a folder in its file system, as text; undefined if there is none. */
export async function inodeOf(path: string): Promise<string | undefined> {
  return (await statIfPossible(path))?.ino.toString();
}
