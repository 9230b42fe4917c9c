import {
  type BigIntStats,
  chmodSync,
  chownSync,
  closeSync,
  constants,
  copyFileSync,
  fsyncSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  openSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
} from "node:fs";
import { errnoOf, withShortPath } from "../base/index.ts";
import { fileTime, secondsOf } from "../unpack/index.ts";

/** Hard links files and symlinks into one tree. Synchronous: for a worker. */
export class FileLinker {
  /** Where a copy is until it has its place: beside the tree, on the same file system. */
  readonly #fresh: Buffer;
  /** Sources that a copy took the place of; by the old one's device and inode. */
  readonly #renewed = new Map<string, Buffer>();

  /** `root` is the tree's. */
  constructor(root: string) {
    this.#fresh = Buffer.from(`${root}.fresh`);
  }

  /** Links a file to a path where nothing is yet; EEXIST if something is. */
  link(source: Buffer, target: Buffer): void {
    if (this.#renewed.size === 0 && tryLink(source, target)) return;
    const found = withShortPath(source, (path) => lstatSync(path, { bigint: true }));
    // A copy's place leaves one link free: taken for another name of the file, it would tear the two apart.
    const isRenewed = this.#renewed.has(keyOf(found));
    if (isRenewed || !tryLink(source, target)) this.#renew(source, target, found);
  }

  /**
   * The file system allows no more links to a file: a copy takes its place in the cache, durable before it does, and the
   * trees of later link to that. What was linked before stays as it is.
   */
  #renew(source: Buffer, target: Buffer, found: BigIntStats): void {
    const renewed = this.#renewed.get(keyOf(found));
    const fresh = this.#fresh;
    try {
      if (renewed === undefined || !tryLink(renewed, fresh)) copyDurably(source, fresh, found);
      withShortPath(target, (path) => linkSync(fresh, path));
      moveOver(fresh, source);
    } finally {
      rmSync(fresh, { force: true });
    }
    this.#renewed.set(keyOf(found), source);
  }
}

function keyOf({ dev, ino }: BigIntStats): string {
  return `${dev} ${ino}`;
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
function copyDurably(source: Buffer, target: Buffer, found: BigIntStats): void {
  withShortPath(source, (from) => {
    if (found.isSymbolicLink()) copyLink(from, target, found);
    else {
      copyFileSync(from, target, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
      copyFacts(found, target);
      sync(target);
    }
  });
}

function copyLink(source: Buffer, target: Buffer, found: BigIntStats): void {
  symlinkSync(readlinkSync(source, { encoding: "buffer" }), target);
  const mtime = fileTime(secondsOf(found.mtimeNs));
  lchownSync(target, Number(found.uid), Number(found.gid));
  lutimesSync(target, mtime, mtime);
}

function sync(path: Buffer): void {
  const file = openSync(path, "r");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** A layer's folder keeps its time: trees take theirs from it. */
function moveOver(from: Buffer, to: Buffer): void {
  const folder = to.subarray(0, to.lastIndexOf("/"));
  const { mtimeNs } = withShortPath(folder, (path) => lstatSync(path, { bigint: true }));
  const mtime = fileTime(secondsOf(mtimeNs));
  withShortPath(to, (path) => renameSync(from, path));
  withShortPath(folder, (path) => utimesSync(path, mtime, mtime));
}
