import { randomUUID } from "node:crypto";
import {
  type BigIntStats,
  chmodSync,
  constants,
  copyFileSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  type Stats,
  symlinkSync,
} from "node:fs";
import { below, DriverError, errnoOf, withShortPath } from "../base/index.ts";
import { quoteName } from "../unpack/index.ts";
import { copyFacts } from "./file-linker.ts";

/** How a tree becomes somebody's own files. */
export interface TreeExport {
  readonly tree: string;
  /** An existing folder. */
  readonly target: string;
  /** Whether the tree's files are moved, on one file system, or copied since the cache keeps them. */
  readonly how: "move" | "copy";
}

const SLASH = Buffer.from("/");
const OWNER_ALL = 0o700;

/**
 * Puts a tree's files into a folder that may have others: files of the same name are replaced, each by a rename, folders
 * are filled, all else stays. Throws "refused" where a folder and a file, or somebody's link, are in each other's way.
 * Synchronous.
 */
export function exportTree({ tree, target, how }: TreeExport): void {
  const from = Buffer.from(tree);
  if (how === "move") openOwn(from, lstatSync(from));
  exportFolder(from, Buffer.from(target), how);
}

function exportFolder(from: Buffer, to: Buffer, how: TreeExport["how"]): void {
  const list = (path: Buffer) => readdirSync(path, { encoding: "buffer", withFileTypes: true });
  for (const entry of withShortPath(from, list)) {
    const [source, target] = [below(from, entry.name), below(to, entry.name)];
    if (how === "move" && !entry.isDirectory()) moveFile(source, target);
    else exportEntry(source, target, how);
  }
}

/** Without a look at either side: there may be thousands. What is in the way of a file, and stays, is a folder. */
function moveFile(from: Buffer, to: Buffer): void {
  try {
    rename(from, to);
  } catch (error) {
    if (errnoOf(error) !== "EISDIR") throw error;
    throw inTheWay(to, "a folder", "file");
  }
}

function exportEntry(from: Buffer, to: Buffer, how: TreeExport["how"]): void {
  const wanted = withShortPath(from, (path) => lstatSync(path));
  const there = lookAt(to);
  if (there !== undefined && there.isDirectory() !== wanted.isDirectory())
    throw inTheWay(to, kindOf(there), wanted.isDirectory() ? "folder" : "file");
  if (!wanted.isDirectory()) copyOver(from, to);
  else if (there !== undefined) fillFolder(from, to, { how, wanted, there });
  else if (how === "move") moveFolder(from, to, wanted);
  else copyFolder(from, to);
}

/** Both folders may be the user's own and read-only: for all but root a rename writes to each of them. */
function fillFolder(
  from: Buffer,
  to: Buffer,
  { how, wanted, there }: { how: TreeExport["how"]; wanted: Stats; there: Stats },
): void {
  // Emptied, it is of no use to anybody.
  if (how === "move") openOwn(from, wanted);
  const isOpened = openOwn(to, there);
  try {
    exportFolder(from, to, how);
  } finally {
    if (isOpened) setMode(to, modeOf(there));
  }
}

/** A folder has its parent written in it: its own user must be able to write there. */
function moveFolder(from: Buffer, to: Buffer, wanted: Stats): void {
  const isOpened = openOwn(from, wanted);
  rename(from, to);
  if (isOpened) setMode(to, modeOf(wanted));
}

/** Lets the user into a folder that is read-only, if it is the user's own. Whether that was necessary. */
function openOwn(folder: Buffer, stats: Stats): boolean {
  if ((modeOf(stats) & OWNER_ALL) === OWNER_ALL) return false;
  try {
    setMode(folder, modeOf(stats) | OWNER_ALL);
    return true;
  } catch (error) {
    if (errnoOf(error) === "EPERM") return false;
    throw error;
  }
}

function modeOf({ mode }: Stats): number {
  return mode & 0o7777;
}

function setMode(path: Buffer, mode: number): void {
  withShortPath(path, (short) => chmodSync(short, mode));
}

function copyFolder(from: Buffer, to: Buffer): void {
  const wanted = factsOf(from);
  withShortPath(to, (path) => mkdirSync(path));
  exportFolder(from, to, "copy");
  // Last: its mode may keep others out, and what is put into it changes its time.
  withShortPath(to, (path) => copyFacts(wanted, path));
}

/** A half-copied file has a name of its own. */
function copyOver(from: Buffer, to: Buffer): void {
  const temporary = Buffer.concat([to.subarray(0, to.lastIndexOf(SLASH) + 1), Buffer.from(`.${randomUUID()}.tmp`)]);
  try {
    withShortPath(from, (source) => withShortPath(temporary, (copy) => copyEntry(source, copy)));
    rename(temporary, to);
  } catch (error) {
    withShortPath(temporary, (path) => rmSync(path, { force: true }));
    throw error;
  }
}

function copyEntry(source: Buffer, copy: Buffer): void {
  const wanted = lstatSync(source, { bigint: true });
  if (wanted.isSymbolicLink()) symlinkSync(readlinkSync(source, { encoding: "buffer" }), copy);
  else {
    copyFileSync(source, copy, constants.COPYFILE_FICLONE);
    copyFacts(wanted, copy);
  }
}

function kindOf(stats: Stats): string {
  return stats.isDirectory() ? "a folder" : stats.isSymbolicLink() ? "a link, which is not followed," : "a file";
}

function inTheWay(to: Buffer, what: string, wanted: "folder" | "file"): DriverError {
  return new DriverError("refused", `${quoteName(to)} is ${what} where the artifact has a ${wanted}`);
}

function rename(from: Buffer, to: Buffer): void {
  withShortPath(from, (source) => withShortPath(to, (target) => renameSync(source, target)));
}

function lookAt(path: Buffer): Stats | undefined {
  return withShortPath(path, (short) => lstatSync(short, { throwIfNoEntry: false }));
}

function factsOf(path: Buffer): BigIntStats {
  return withShortPath(path, (short) => lstatSync(short, { bigint: true }));
}
