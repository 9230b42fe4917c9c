import { lstatSync, type Stats } from "node:fs";
import { lstat } from "node:fs/promises";
import { below, withShortPath } from "../base/index.ts";
import { type KnownNames, namesOnDisk } from "../unpack/index.ts";

/** What is known of a name in a tree, as a mark: a folder that is there; one that is not; anything else. */
export const FOLDER = 1;
export const LOST_FOLDER = 2;
export const OTHER = 3;

/** After so many entries whatever else waits for this thread has its turn. */
const TURN_ENTRIES = 5000;
/** A folder that no name is known in. */
const UNKNOWN = -1;

/** Lets others have their turn from time to time; ends with the signal's reason. */
export class Turns {
  readonly #signal: AbortSignal;
  #entries = 0;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  async take(): Promise<void> {
    if (++this.#entries % TURN_ENTRIES === 0) await lstat("/");
    this.#signal.throwIfAborted();
  }
}

/**
 * Tells of everything in a tree, by its path from the root, that is not among the known names; what is in a folder only if
 * it returns true. How many entries there are that it came across, the root included.
 */
export async function walkTree(
  root: Buffer,
  names: KnownNames,
  onUnknown: (path: Buffer, found: Stats) => Promise<boolean>,
): Promise<number> {
  const folders = [{ path: root, row: 0 }];
  let entries = 1;
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const name of namesOnDisk(folder.path)) {
      const row = folder.row === UNKNOWN ? 0 : names.find(folder.row, name);
      const path = below(folder.path, name);
      const mark = row === 0 ? 0 : names.mark(row);
      if (mark === FOLDER) folders.push({ path, row });
      const found = mark === 0 ? lookAt(path) : undefined;
      if (mark === 0 && found === undefined) continue;
      entries++;
      if (found === undefined) continue;
      const goesOn = await onUnknown(path.subarray(root.length + 1), found);
      if (goesOn && found.isDirectory()) folders.push({ path, row: UNKNOWN });
    }
  }
  return entries;
}

/** What is at a path below a folder; undefined if nothing is. */
export function lookAt(path: Buffer): Stats | undefined {
  return withShortPath(path, (short) => lstatSync(short, { throwIfNoEntry: false }));
}
