import { isUtf8 } from "node:buffer";
import { hash } from "node:crypto";
import { FileContent } from "./file-content.ts";
import { LayerFolder, type Owner } from "./layer-folder.ts";
import { type LayerEntryType, LayerTable } from "./layer-index.ts";
import { type CleanPath, cleanEntryPath } from "./paths.ts";
import { refuseEntry } from "./refusal.ts";
import { SparseContent } from "./sparse-content.ts";
import type { TarEntry } from "./tar-entry.ts";
import { TarFolders } from "./tar-folders.ts";
import type { TarHandler } from "./tar-reader.ts";
import type { UnpackBudget } from "./unpack-budget.ts";
import { findWhiteout, isInLinkStore, type Whiteout } from "./whiteouts.ts";

/** What a tar's entries become on disk. */
export interface UnpackRules {
  readonly fileMode: (mode: number) => number;
  readonly folderMode: (mode: number) => number;
  /** One of an image's layers: it keeps owners and times, hides what lower layers have, and links to it. */
  readonly isImageLayer: boolean;
}

/** What a `TarExtractor` is made of. */
export interface TarExtractorOptions {
  /** A fresh, empty folder. */
  readonly root: string;
  readonly rules: UnpackRules;
  readonly budgets: readonly UnpackBudget[];
  /** As in `UnpackOptions`. */
  readonly hashesFiles: boolean;
  /** Where the runtime cannot make other names, they are refused rather than changed. */
  readonly utf8Only: boolean;
}

/** Where an entry goes, and what an earlier entry of the same name was. */
interface Place {
  readonly path: Buffer;
  readonly row: number;
  readonly old: LayerEntryType;
}

const DOT = 0x2e;
const SLASH = 0x2f;
const ROOT: CleanPath = { bytes: Buffer.alloc(0), ends: [] };
/** The largest that a file's owner can be: the next number means "as it is". */
const MAX_ID = 2 ** 32 - 2;
/**
 * Writes the entries of one tar below a fresh, empty folder, as GNU tar would: a later entry replaces an earlier one of
 * the same name, unless a folder that is not empty is in the way. Unlike GNU tar it never goes through a symlink, and it
 * refuses the tar (throws "refused", the entry named) at the first thing that cannot be.
 */
export class TarExtractor implements TarHandler {
  readonly #folder: LayerFolder;
  readonly #rules: UnpackRules;
  readonly #budgets: readonly UnpackBudget[];
  readonly #hashesFiles: boolean;
  readonly #utf8Only: boolean;
  readonly #table = new LayerTable();
  readonly #folders: TarFolders;
  readonly #content: FileContent;
  #skipped = 0;

  constructor(options: TarExtractorOptions) {
    this.#folder = new LayerFolder(options.root);
    this.#rules = options.rules;
    this.#budgets = options.budgets;
    this.#hashesFiles = options.hashesFiles;
    this.#utf8Only = options.utf8Only;
    this.#folders = new TarFolders({
      ...options,
      isImageLayer: options.rules.isImageLayer,
      folder: this.#folder,
      table: this.#table,
    });
    this.#content = new FileContent(this.#folder, this.#table, options.hashesFiles);
  }

  /** Device nodes and FIFOs left out so far, and hard links to them. */
  get skipped(): number {
    return this.#skipped;
  }

  entry(entry: TarEntry): void {
    if (entry.type === "label") return;
    this.#table.counts.entries++;
    this.#table.counts.contentBytes += entry.contentBytes;
    for (const budget of this.#budgets) budget.takeEntry(entry.name, entry.contentBytes);
    if (this.#utf8Only && !(isUtf8(entry.name) && isUtf8(entry.linkName))) {
      throw refuseEntry(entry.name, "its name or target is no UTF-8, which this runtime (Deno) cannot write");
    }
    const path = isRootName(entry.name) && this.#rules.isImageLayer ? ROOT : cleanEntryPath(entry.name, entry.name);
    const whiteout = this.#whiteout(entry, path);
    if (whiteout !== undefined) this.#hide(entry, path, whiteout);
    else if (path.ends.length === 0) this.#putRoot(entry, path);
    else this.#put(entry, path, this.#folders.makeParents(entry, path, path.ends.length - 1));
  }

  seek(offset: number): void {
    this.#content.seek(offset);
  }

  data(bytes: Buffer): void {
    this.#content.write(bytes);
  }

  endEntry(): void {
    this.#content.end();
  }

  /** The tar is over: sets modes and times of folders, what is deepest first, and returns what was made. */
  finish(): LayerTable {
    this.#folders.finish();
    return this.#table;
  }

  /** Closes what a failure left open. */
  close(): void {
    this.#folders.free();
    this.#content.close();
  }

  #putRoot(entry: TarEntry, path: CleanPath): void {
    if (entry.type !== "folder") throw refuseEntry(entry.name, "it stands for the folder that the tar is unpacked to");
    this.#putFolderFacts(entry, 0, path.bytes);
  }

  #whiteout(entry: TarEntry, path: CleanPath): Whiteout | undefined {
    if (!this.#rules.isImageLayer || (entry.type === "file" && isInLinkStore(path))) return undefined;
    return findWhiteout(path);
  }

  /** Notes what lower layers have no more; the entry itself makes nothing but the folders that its path leads through. */
  #hide(entry: TarEntry, path: CleanPath, { depth, hides, from, end }: Whiteout): void {
    const parent = this.#folders.makeParents(entry, path, depth);
    if (hides === "folder") this.#table.hideLower(parent);
    if (hides !== "path") return;
    if (from === end || (path.bytes[from] === DOT && end - from <= 2 && path.bytes[end - 1] === DOT))
      throw refuseEntry(entry.name, "it is a whiteout of no name");
    this.#table.hideLower(this.#folders.rowOf(entry, parent, path.bytes, from, end));
  }

  #put(entry: TarEntry, path: CleanPath, parent: number): void {
    const from = path.ends.length === 1 ? 0 : (path.ends.at(-2) ?? 0) + 1;
    const row = this.#folders.rowOf(entry, parent, path.bytes, from, path.bytes.length);
    const place: Place = { path: path.bytes, old: this.#table.type(row), row };
    if (entry.type === "folder") this.#putFolder(entry, place);
    else if (entry.type === "file") this.#putFile(entry, place);
    else if (entry.type === "symlink") this.#putSymlink(entry, place);
    else if (entry.type === "hard-link") this.#putHardLink(entry, place);
    else this.#skip(place);
  }

  #putFolder(entry: TarEntry, place: Place): void {
    if (place.old !== "folder") {
      this.#makeRoom(entry, place);
      this.#folders.make(place.row, place.path, this.#rules.folderMode(entry.mode));
    }
    this.#putFolderFacts(entry, place.row, place.path);
  }

  #putFolderFacts(entry: TarEntry, row: number, path: Buffer): void {
    const owner = this.#ownerOf(entry);
    if (owner !== undefined) this.#folder.setOwner(path, owner);
    this.#table.put(row, { type: "folder", mode: this.#rules.folderMode(entry.mode), mtime: entry.mtime });
  }

  #putFile(entry: TarEntry, place: Place): void {
    this.#makeRoom(entry, place);
    const { size, mtime } = entry;
    const mode = this.#rules.fileMode(entry.mode);
    const owner = this.#ownerOf(entry);
    const descriptor = this.#folder.makeFile(place.path, mode);
    this.#table.put(place.row, { type: "file", mode, mtime });
    const path = Buffer.from(place.path);
    const sparse = entry.isSparse ? new SparseContent(size) : undefined;
    const nothingYet = { sparse, hash: undefined, digest: undefined };
    this.#content.begin({ descriptor, row: place.row, path, mtime, mode, owner, size, ...nothingYet });
  }

  #putSymlink(entry: TarEntry, place: Place): void {
    if (entry.linkName.length === 0) throw refuseEntry(entry.name, "it is a symlink without a target");
    this.#makeRoom(entry, place);
    this.#folder.makeSymlink(place.path, entry.linkName);
    const owner = this.#ownerOf(entry);
    if (owner !== undefined) this.#folder.finishSymlink(place.path, owner, entry.mtime);
    this.#table.put(place.row, { type: "symlink", mode: 0o777, mtime: entry.mtime });
    if (this.#hashesFiles) this.#table.putTarget(place.row, hash("sha256", entry.linkName, "buffer"));
  }

  #putHardLink(entry: TarEntry, place: Place): void {
    const target = cleanEntryPath(this.#fromRoot(entry.linkName), entry.name);
    const row = this.#folders.rowOfTarget(entry, target);
    const type = this.#table.type(row);
    if (type === "folder") throw refuseEntry(entry.name, "it is a hard link to a folder");
    if (type === "skipped") this.#skip(place);
    else if (row !== place.row || type === "nothing") {
      this.#makeRoom(entry, place);
      if (type === "nothing") this.#table.putLowerLink(place.row, row);
      else this.#linkTo(place, target, row);
    }
  }

  /** A link to a link into a lower layer is one itself. */
  #linkTo(place: Place, target: CleanPath, row: number): void {
    if (this.#table.type(row) !== "lower-link") this.#folder.makeHardLink(place.path, target.bytes);
    this.#table.putHardLink(place.row, row);
  }

  /** Leaves out a device or FIFO, or a link to one. What an earlier entry of this name made stays. */
  #skip(place: Place): void {
    this.#skipped++;
    if (place.old === "nothing") this.#table.put(place.row, { type: "skipped", mode: 0, mtime: undefined });
  }

  /** Takes away what an earlier entry made of this name. */
  #makeRoom(entry: TarEntry, place: Place): void {
    if (place.old === "file" || place.old === "symlink") this.#folder.removeFile(place.path);
    if (place.old === "folder" && !this.#folder.removeEmptyFolder(place.path)) {
      throw refuseEntry(entry.name, `it is a ${entry.type} where a folder is that has something in it`);
    }
  }

  /** In an image's layer what a hard link leads to may be said from the image's root on. */
  #fromRoot(path: Buffer): Buffer {
    if (!this.#rules.isImageLayer) return path;
    const start = path.findIndex((byte) => byte !== SLASH);
    return start > 0 ? path.subarray(start) : path;
  }

  /** Whose a file is to be: in an image, whoever the tar says. */
  #ownerOf({ name, uid, gid }: TarEntry): Owner | undefined {
    if (!this.#rules.isImageLayer) return undefined;
    if ([uid, gid].every((id) => Number.isInteger(id) && id >= 0 && id <= MAX_ID)) return { uid, gid };
    throw refuseEntry(name, `its owner is ${uid}:${gid}, which no file's can be`);
  }
}

/** Some builders of images call the root so. */
function isRootName(name: Buffer): boolean {
  return name.length > 0 && name.every((byte) => byte === SLASH);
}
