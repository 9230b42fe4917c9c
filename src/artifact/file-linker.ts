import {
  type BigIntStats,
  chmodSync,
  chownSync,
  constants,
  copyFileSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  readlinkSync,
  symlinkSync,
  utimesSync,
} from "node:fs";
import { errnoOf, withShortPath } from "../base/index.ts";
import { fileTime, secondsOf } from "../unpack/index.ts";

/** Hard links files and symlinks into one tree. Synchronous: for a worker. */
export class FileLinker {
  /** Where the tree has a copy of a file that can take no more links; by device and inode. */
  readonly #copies = new Map<string, Buffer>();

  /** Links a file to a path where nothing is yet; EEXIST if something is. */
  link(source: Buffer, target: Buffer): void {
    if (!tryLink(source, target)) this.#copy(source, target);
  }

  /** The file system allows no more links to a file: the tree gets a copy of its own, and links to that from now on. */
  #copy(source: Buffer, target: Buffer): void {
    const found = withShortPath(source, (path) => lstatSync(path, { bigint: true }));
    const key = `${found.dev} ${found.ino}`;
    const copy = this.#copies.get(key);
    if (copy !== undefined && tryLink(copy, target)) return;
    withShortPath(source, (from) => withShortPath(target, (to) => copyItself(from, to, found)));
    this.#copies.set(key, target);
  }
}

/** Gives a folder or a file the owner, mode and time of another one. */
export function copyFacts(found: BigIntStats, target: Buffer): void {
  chownSync(target, Number(found.uid), Number(found.gid));
  chmodSync(target, Number(found.mode & 0o7777n));
  const mtime = fileTime(secondsOf(found.mtimeNs));
  utimesSync(target, mtime, mtime);
}

/** False where the source has as many links as its file system allows. */
function tryLink(source: Buffer, target: Buffer): boolean {
  try {
    withShortPath(source, (from) => withShortPath(target, (to) => linkSync(from, to)));
    return true;
  } catch (error) {
    if (errnoOf(error) === "EMLINK") return false;
    throw error;
  }
}

/** Copies a file or a symlink, never what a symlink leads to: that may be anything on the node. */
function copyItself(source: Buffer, target: Buffer, found: BigIntStats): void {
  if (found.isSymbolicLink()) {
    symlinkSync(readlinkSync(source, { encoding: "buffer" }), target);
    const mtime = fileTime(secondsOf(found.mtimeNs));
    lchownSync(target, Number(found.uid), Number(found.gid));
    lutimesSync(target, mtime, mtime);
    return;
  }
  copyFileSync(source, target, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  copyFacts(found, target);
}
