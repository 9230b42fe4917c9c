import { lstatSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { DriverError, errnoOf } from "../base/index.ts";
import { cannotWrite } from "./data-dir.ts";
import { createLayout } from "./layout.ts";
import { oldTmp } from "./sweeper.ts";

/** What file systems make at their root. */
const LOST_AND_FOUND = "lost+found";

/**
 * Throws "refused" for a folder that holds something and is no data dir: a slip of the hand, mostly. A folder that is
 * empty, or not there, may become one.
 */
export function requireNoOthersFolder(path: string): void {
  const [name] = othersEntries(path);
  if (name === undefined) return;
  throw new DriverError(
    "refused",
    `${path} is no data dir of oras-csi, ${JSON.stringify(name)} is in it: see --data-dir`,
  );
}

/**
 * Throws "refused" for a folder that is no data dir and has something in `tmp`, or where that is moved to, which a driver
 * empties at its start. What else is in it stays: the Go driver's, for one.
 */
export function requireNothingInTheWay(path: string): void {
  const { tmp } = createLayout(path);
  const emptied = [tmp, oldTmp(tmp)].map((folder) => basename(folder));
  const name = othersEntries(path).find((entry) => emptied.includes(entry));
  if (name === undefined) return;
  throw new DriverError(
    "refused",
    `${path} is no data dir of oras-csi, and what is in its ${name} would be deleted: see --data-dir`,
  );
}

/** What is in a folder that is no data dir, but for what counts as nothing. */
function othersEntries(path: string): readonly string[] {
  if (isDataDir(path)) return [];
  try {
    return readdirSync(path).filter((name) => name !== LOST_AND_FOUND && !isEmptyFolder(join(path, name)));
  } catch (error) {
    const code = errnoOf(error);
    // It is made, or what is there is told of when that fails.
    if (code === "ENOENT" || code === "ENOTDIR") return [];
    throw cannotWrite(path, error);
  }
}

/** Whether a driver or a command has made this folder, or begun to: the lock is the first that is there. */
function isDataDir(path: string): boolean {
  const { formatFile, lockFile, blobs, trees } = createLayout(path);
  if (lookAt(formatFile) !== undefined || (lookAt(join(blobs, "sha256")) && lookAt(trees))) return true;
  const lock = lookAt(lockFile);
  return lock?.isFile() === true && lock.size === 0;
}

function lookAt(path: string) {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch {
    // A data dir has no part that cannot be looked at.
    return undefined;
  }
}

function isEmptyFolder(path: string): boolean {
  return lookAt(path)?.isDirectory() === true && readdirSync(path).length === 0;
}
