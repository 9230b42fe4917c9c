import {
  type BigIntStats,
  chmodSync,
  constants,
  copyFileSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readlinkSync,
  symlinkSync,
  utimesSync,
} from "node:fs";
import { DriverError, errnoOf } from "../base/index.ts";
import { type LayerIndex, quoteName } from "../unpack/index.ts";
import { withShortPath } from "./long-path.ts";

/** What stands in a tree so far. */
export interface TreeCount {
  /** Sum of the files' sizes. */
  readonly bytes: number;
  /** Files, folders and links, the root included. */
  readonly inodes: number;
}

/** A layer that was linked in, for what is due at the end. */
interface LinkedLayer {
  readonly index: LayerIndex;
  readonly folder: Buffer;
  /** The first row that is of the tree: the layer's own root is not, unless it is the tree's. */
  readonly firstRow: number;
}

const FOLDER_MODE = 0o755;
const SLASH = Buffer.from("/");

/**
 * Puts a tree together in a fresh folder from hard links into blobs and unpacked layers. Nothing else writes there, and
 * each folder is looked at before anything is put into it, so no link of one layer leads another one astray.
 * Synchronous: for a worker.
 */
export class TreeLinker {
  readonly #root: Buffer;
  readonly #layers: LinkedLayer[] = [];
  /** Where the tree has a copy of a file that can take no more links; by device and inode. */
  readonly #copies = new Map<string, Buffer>();
  #bytes = 0;
  #inodes = 1;

  /** `root` is made here. */
  constructor(root: string) {
    this.#root = Buffer.from(root);
    mkdirSync(root);
    chmodSync(root, FOLDER_MODE);
  }

  /** Links a blob in as a file; `path` is a cleaned title. */
  addFile(path: string, blob: string, size: number): void {
    const parts = path.split("/");
    for (let depth = 1; depth < parts.length; depth++) this.#folder(Buffer.from(parts.slice(0, depth).join("/")));
    this.#link(Buffer.from(blob), Buffer.from(path));
    this.#bytes += size;
  }

  /** Links an unpacked layer in. Its entries must lie at or below the title's path, `.` being the root. */
  addLayer(index: LayerIndex, folder: string, title: string): void {
    const source = Buffer.from(folder);
    const within = title === "." ? undefined : Buffer.from(title);
    for (let row = 1; row < index.rowCount; row++) {
      const type = index.type(row);
      const path = index.path(row);
      if (within !== undefined) requireWithin(within, path, index.isImplied(row));
      if (type === "folder") this.#folder(path);
      else if (type !== "skipped") this.#link(below(source, path), path);
    }
    this.#layers.push({ index, folder: source, firstRow: within === undefined ? 0 : 1 });
    this.#bytes += index.fileBytes;
  }

  /** Sets the folders' modes and times, which would have been in the way or lost before. */
  finish(): TreeCount {
    for (const { index, folder, firstRow } of this.#layers) {
      for (let row = firstRow; row < index.rowCount; row++) {
        if (index.type(row) === "folder" && !index.isImplied(row))
          this.#finishFolder(below(folder, index.path(row)), index, row);
      }
    }
    return { bytes: this.#bytes, inodes: this.#inodes };
  }

  /** The time is taken from the layer's folder on disk: there it is one that the file system can hold. */
  #finishFolder(source: Buffer, index: LayerIndex, row: number): void {
    const { mtime } = withShortPath(source, (path) => lstatSync(path));
    withShortPath(below(this.#root, index.path(row)), (path) => {
      chmodSync(path, index.mode(row));
      utimesSync(path, mtime, mtime);
    });
  }

  #folder(path: Buffer): void {
    const full = below(this.#root, path);
    if (withShortPath(full, makeFolder)) this.#inodes++;
    else if (!withShortPath(full, (there) => lstatSync(there).isDirectory())) {
      const says = "is a file or a link of one layer where another layer needs a folder";
      throw new DriverError("refused", `${quoteName(path)} ${says}`);
    }
  }

  #link(source: Buffer, path: Buffer): void {
    const full = below(this.#root, path);
    try {
      if (!tryLink(source, full)) this.#copy(source, full);
    } catch (error) {
      if (errnoOf(error) !== "EEXIST") throw error;
      throw new DriverError("refused", `two layers make ${quoteName(path)}: one of them would be lost`);
    }
    this.#inodes++;
  }

  /** The file system allows no more links to a file: the tree gets a copy of its own, and links to that from now on. */
  #copy(source: Buffer, full: Buffer): void {
    const found = withShortPath(source, (path) => lstatSync(path, { bigint: true }));
    const key = `${found.dev} ${found.ino}`;
    const copy = this.#copies.get(key);
    if (copy !== undefined && tryLink(copy, full)) return;
    withShortPath(source, (from) => withShortPath(full, (to) => copyItself(from, to, found)));
    this.#copies.set(key, full);
  }
}

/** False if there is something already. */
function makeFolder(path: Buffer): boolean {
  try {
    mkdirSync(path);
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return false;
    throw error;
  }
  chmodSync(path, FOLDER_MODE);
  return true;
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
    return;
  }
  copyFileSync(source, target, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  chmodSync(target, Number(found.mode & 0o777n));
  utimesSync(target, found.mtime, found.mtime);
}

/** An entry is the title's folder, in it, or one of the folders that only the title's own path implies. */
function requireWithin(title: Buffer, path: Buffer, implied: boolean): void {
  const isBelow =
    path.length > title.length && path[title.length] === SLASH[0] && path.subarray(0, title.length).equals(title);
  if (isBelow || path.equals(title)) return;
  const isAbove =
    title.length > path.length && title[path.length] === SLASH[0] && title.subarray(0, path.length).equals(path);
  if (isAbove && implied) return;
  throw new DriverError(
    "refused",
    `the layer titled ${quoteName(title)} holds ${quoteName(path)}, which is outside of it`,
  );
}

function below(folder: Buffer, path: Buffer): Buffer {
  return path.length === 0 ? folder : Buffer.concat([folder, SLASH, path]);
}
