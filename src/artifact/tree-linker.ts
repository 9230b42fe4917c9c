import { chmodSync, constants, copyFileSync, linkSync, lstatSync, mkdirSync, utimesSync } from "node:fs";
import { DriverError, errnoOf } from "../base/index.ts";
import type { LayerIndex } from "../unpack/index.ts";

/** What stands in a tree so far. */
export interface TreeCount {
  /** Sum of the files' sizes. */
  readonly bytes: number;
  /** Files, folders and links, the root included. */
  readonly inodes: number;
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
  readonly #times: { readonly path: Buffer; readonly mode: number; readonly mtime: number }[] = [];
  #bytes = 0;
  #inodes = 1;

  /** `root` is made here. */
  constructor(root: string) {
    this.#root = Buffer.from(root);
    mkdirSync(root);
    chmodSync(root, FOLDER_MODE);
  }

  get count(): TreeCount {
    return { bytes: this.#bytes, inodes: this.#inodes };
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
      if (type === "folder") this.#layerFolder(index, row, path);
      else if (type !== "skipped") this.#link(Buffer.concat([source, SLASH, path]), path);
    }
    const rootTime = index.mtime(0);
    if (within === undefined && rootTime !== undefined) {
      this.#times.push({ path: Buffer.alloc(0), mode: index.mode(0), mtime: rootTime });
    }
    this.#bytes += index.fileBytes;
  }

  /** Sets the folders' modes and times, which would have been in the way or lost before. */
  finish(): TreeCount {
    for (const { path, mode, mtime } of this.#times) {
      const full = this.#full(path);
      chmodSync(full, mode);
      utimesSync(full, mtime, mtime);
    }
    return this.count;
  }

  #layerFolder(index: LayerIndex, row: number, path: Buffer): void {
    this.#folder(path);
    const mtime = index.mtime(row);
    if (mtime !== undefined) this.#times.push({ path, mode: index.mode(row), mtime });
  }

  #folder(path: Buffer): void {
    const full = this.#full(path);
    try {
      mkdirSync(full);
    } catch (error) {
      if (errnoOf(error) !== "EEXIST") throw error;
      if (lstatSync(full).isDirectory()) return;
      throw new DriverError(
        "refused",
        `${show(path)} is a file or a link of one layer where another layer needs a folder`,
      );
    }
    chmodSync(full, FOLDER_MODE);
    this.#inodes++;
  }

  #link(source: Buffer, path: Buffer): void {
    const full = this.#full(path);
    try {
      linkSync(source, full);
    } catch (error) {
      if (errnoOf(error) === "EEXIST")
        throw new DriverError("refused", `two layers make ${show(path)}: one of them would be lost`);
      // The file system's limit of links to one file: this tree gets a copy of its own.
      if (errnoOf(error) !== "EMLINK") throw error;
      copyFileSync(source, full, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
      chmodSync(full, lstatSync(source).mode & 0o7777);
    }
    this.#inodes++;
  }

  #full(path: Buffer): Buffer {
    return path.length === 0 ? this.#root : Buffer.concat([this.#root, SLASH, path]);
  }
}

/** An entry is the title's folder, in it, or one of the folders that only the title's own path implies. */
function requireWithin(title: Buffer, path: Buffer, implied: boolean): void {
  const isBelow =
    path.length > title.length && path[title.length] === SLASH[0] && path.subarray(0, title.length).equals(title);
  if (isBelow || path.equals(title)) return;
  const isAbove =
    title.length > path.length && title[path.length] === SLASH[0] && title.subarray(0, path.length).equals(path);
  if (isAbove && implied) return;
  throw new DriverError("refused", `the layer titled ${show(title)} holds ${show(path)}, which is outside of it`);
}

function show(path: Buffer): string {
  const text = path.toString("utf8");
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 100)}…${text.slice(-80)}` : text);
}
