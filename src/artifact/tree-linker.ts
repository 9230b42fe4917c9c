import { chmodSync, lstatSync, mkdirSync, readdirSync, renameSync, utimesSync } from "node:fs";
import { below, DriverError, errnoOf, withShortPath } from "../base/index.ts";
import {
  isBelow,
  LayerIndexReader,
  type LayerRow,
  layerBase,
  movedBelow,
  quoteName,
  type UnpackBudget,
} from "../unpack/index.ts";
import { FileLinker } from "./file-linker.ts";

/** What stands in a tree so far. */
export interface TreeCount {
  /** Sum of the files' sizes. */
  readonly bytes: number;
  /** Files, folders and links, the root included. */
  readonly inodes: number;
}

/** An unpacked layer that is to be part of a tree. */
export interface LayerSource {
  /** The file that says what is in it. */
  readonly index: string;
  readonly folder: string;
  /** The cleaned title: its entries must lie at or below that path, `.` being the root. */
  readonly title: string;
  /** Entries that do not begin with the title go below it, all of them; such a layer is refused otherwise. */
  readonly movesBelow?: true;
  /** Nobody needs the layer's folder any more: what nothing is in the way of is moved out of it, whole folders at once. */
  readonly isSpent?: boolean;
}

/** A layer that was linked in: its entries lie in this folder of the tree, empty for the root. */
interface LinkedLayer extends LayerSource {
  readonly base: Buffer;
  /** Names at its root, as keys, that were moved with all that is in them. */
  readonly moved: ReadonlySet<string>;
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
  readonly #budget: UnpackBudget;
  /** Those linked in. Their indexes are read again in the end: many, or large ones, would fill the memory. */
  readonly #layers: LinkedLayer[] = [];
  readonly #files: FileLinker;
  #bytes = 0;
  #inodes = 1;

  /** `root` is made here. The budget is for all layers together, those included that were unpacked for other trees. */
  constructor(root: string, budget: UnpackBudget) {
    this.#root = Buffer.from(root);
    this.#files = new FileLinker(root);
    this.#budget = budget;
    mkdirSync(root);
    chmodSync(root, FOLDER_MODE);
  }

  /** Links a blob in as a file; `path` is a cleaned title. */
  addFile(path: string, blob: string, size: number): void {
    this.#titleFolders(path, path.split("/").slice(0, -1));
    this.#link(Buffer.from(blob), Buffer.from(path));
    this.#bytes += size;
  }

  /** Links an unpacked layer in. */
  addLayer(layer: LayerSource): void {
    using index = new LayerIndexReader(layer.index);
    this.#budget.takeLayer(layer.title, index.counts);
    const source = Buffer.from(layer.folder);
    const title = Buffer.from(layer.title === "." ? "" : layer.title);
    const base = layerBase(index, title, layer.movesBelow === true);
    if (base.length > 0) this.#titleFolders(layer.title, layer.title.split("/"));
    // All of them before anything is moved.
    const within = layer.movesBelow !== true && title.length > 0 ? countWithin(title, index) : undefined;
    const moved = layer.isSpent === true && base.length === 0 ? this.#move(source) : new Set<string>();
    if (within !== undefined && moved.has(rootNameOf(title))) {
      this.#bytes += within.bytes;
      this.#inodes += within.inodes;
      return;
    }
    for (const row of index.rows()) {
      if (row.path.length === 0) continue;
      const path = movedBelow(base, row.path);
      if (moved.has(rootNameOf(row.path))) this.#inodes++;
      else if (row.type === "folder") this.#folder(path);
      else this.#link(below(source, row.path), path);
      if (!row.isHardLink) this.#bytes += row.size;
    }
    this.#layers.push({ ...layer, base, moved });
  }

  /** Moves what lies in a folder into the tree, where nothing of that name is yet; the names, as keys. */
  #move(source: Buffer): ReadonlySet<string> {
    const moved = new Set<string>();
    for (const name of readdirSync(source, { encoding: "buffer" })) {
      const target = below(this.#root, name);
      if (lstatSync(target, { throwIfNoEntry: false }) !== undefined) continue;
      if (tryMove(below(source, name), target)) moved.add(name.toString("latin1"));
    }
    return moved;
  }

  /** Sets the folders' modes and times, which would have been in the way or lost before. */
  finish(): TreeCount {
    for (const layer of this.#layers) this.#finishFolders(layer);
    return { bytes: this.#bytes, inodes: this.#inodes };
  }

  /** The layer's own root is not of the tree, unless it is the tree's or was moved to a folder in it. */
  #finishFolders({ index: path, folder, title, base, moved }: LinkedLayer): void {
    using index = new LayerIndexReader(path);
    const source = Buffer.from(folder);
    const hasRoot = title === "." || base.length > 0;
    for (const row of index.rows()) {
      if (row.type !== "folder" || isImplied(row) || (row.path.length === 0 && !hasRoot)) continue;
      if (moved.has(rootNameOf(row.path))) continue;
      this.#finishFolder(below(source, row.path), movedBelow(base, row.path), row.mode);
    }
  }

  /** The time is taken from the layer's folder on disk: there it is one that the file system can hold. */
  #finishFolder(source: Buffer, path: Buffer, mode: number): void {
    const { mtime } = withShortPath(source, (from) => lstatSync(from));
    withShortPath(below(this.#root, path), (to) => {
      chmodSync(to, mode);
      utimesSync(to, mtime, mtime);
    });
  }

  /** Makes the folders that a title implies. */
  #titleFolders(title: string, parts: readonly string[]): void {
    for (let depth = 1; depth <= parts.length; depth++) {
      const isNew = this.#folder(Buffer.from(parts.slice(0, depth).join("/")));
      if (isNew) this.#budget.takeTitleFolder(title);
    }
  }

  /** Makes a folder if there is none yet, and says whether it did. */
  #folder(path: Buffer): boolean {
    const full = below(this.#root, path);
    // Looked at first: Deno's mkdirSync stumbles over its own error for a path in bytes.
    const there = withShortPath(full, (short) => lstatSync(short, { throwIfNoEntry: false }));
    if (there === undefined) {
      withShortPath(full, makeFolder);
      this.#inodes++;
      return true;
    }
    if (there.isDirectory()) return false;
    const says = "is a file or a link of one layer where another layer needs a folder";
    throw new DriverError("refused", `${quoteName(path)} ${says}`);
  }

  #link(source: Buffer, path: Buffer): void {
    const full = below(this.#root, path);
    try {
      this.#files.link(source, full);
    } catch (error) {
      if (errnoOf(error) !== "EEXIST") throw error;
      throw new DriverError("refused", `two layers make ${quoteName(path)}: one of them would be lost`);
    }
    this.#inodes++;
  }
}

function makeFolder(path: Buffer): void {
  mkdirSync(path);
  chmodSync(path, FOLDER_MODE);
}

/** False for a folder that its own user may not change: it is linked. */
function tryMove(source: Buffer, target: Buffer): boolean {
  try {
    renameSync(source, target);
    return true;
  } catch (error) {
    if (errnoOf(error) === "EACCES") return false;
    throw error;
  }
}

/** The first name of a path, as a key. */
function rootNameOf(path: Buffer): string {
  const end = path.indexOf(SLASH);
  return path.toString("latin1", 0, end < 0 ? path.length : end);
}

/** All that is in a layer whose entries lie at or below its title. Throws "refused" for others. */
function countWithin(title: Buffer, index: LayerIndexReader): TreeCount {
  const whole = title.includes(SLASH) ? undefined : index.countBelow(title);
  if (whole !== undefined) return whole;
  let [bytes, inodes] = [0, 0];
  for (const row of index.rows()) {
    requireWithin(title, row);
    if (row.path.length > 0) inodes++;
    if (!row.isHardLink) bytes += row.size;
  }
  return { bytes, inodes };
}

/** An entry is the title's folder, in it, or one of the folders that only the title's own path implies. */
function requireWithin(title: Buffer, row: LayerRow): void {
  const { path } = row;
  // The layer's own root is no entry.
  if (path.length === 0 || path.equals(title) || isBelow(path, title) || (isBelow(title, path) && isImplied(row)))
    return;
  throw new DriverError(
    "refused",
    `the layer titled ${quoteName(title)} holds ${quoteName(path)}, which is outside of it`,
  );
}

/** Whether the layer's tar had no entry for this folder. */
function isImplied(row: LayerRow): boolean {
  return row.type === "folder" && row.mtime === undefined;
}
