import { isUtf8 } from "node:buffer";
import { createHash, type Hash, hash } from "node:crypto";
import { closeSync } from "node:fs";
import { LayerFolder } from "./layer-folder.ts";
import { type LayerEntryType, LayerTable } from "./layer-index.ts";
import { MAX_ALL_NAMES_BYTES } from "./name-table.ts";
import { type CleanPath, cleanEntryPath } from "./paths.ts";
import { quoteName, refuseEntry } from "./refusal.ts";
import type { TarEntry } from "./tar-entry.ts";
import type { TarHandler } from "./tar-reader.ts";
import type { UnpackBudget } from "./unpack-budget.ts";

/** How the modes of a tar become modes on disk. */
export interface ModeRules {
  readonly file: (mode: number) => number;
  readonly folder: (mode: number) => number;
}

/** What a `TarExtractor` is made of. */
export interface TarExtractorOptions {
  /** A fresh, empty folder. */
  readonly root: string;
  readonly modes: ModeRules;
  readonly budgets: readonly UnpackBudget[];
  /** Where the runtime cannot make other names, they are refused rather than changed. */
  readonly utf8Only: boolean;
}

/** A file whose content is being written. */
interface OpenFile {
  readonly descriptor: number;
  readonly row: number;
  readonly path: Buffer;
  readonly mtime: number;
  readonly mode: number;
  readonly size: number;
  /** Only if the content comes in more than one part. */
  hash: Hash | undefined;
  digest: Buffer | undefined;
}

/** Where an entry goes, and what an earlier entry of the same name made there. */
interface Place {
  readonly path: Buffer;
  readonly row: number;
  readonly old: LayerEntryType | undefined;
}

const IMPLIED_FOLDER_MODE = 0o755;
const EMPTY_DIGEST = hash("sha256", Buffer.alloc(0), "buffer");

/**
 * Writes the entries of one tar below a fresh, empty folder, as GNU tar would: a later entry replaces an earlier one of
 * the same name, unless a folder that is not empty is in the way. Unlike GNU tar it never goes through a symlink, and it
 * refuses the tar (throws "refused", the entry named) at the first thing that cannot be.
 */
export class TarExtractor implements TarHandler {
  readonly #folder: LayerFolder;
  readonly #modes: ModeRules;
  readonly #budgets: readonly UnpackBudget[];
  readonly #utf8Only: boolean;
  readonly #table = new LayerTable();
  #file: OpenFile | undefined;
  #skipped = 0;

  constructor(options: TarExtractorOptions) {
    this.#folder = new LayerFolder(options.root);
    this.#modes = options.modes;
    this.#budgets = options.budgets;
    this.#utf8Only = options.utf8Only;
  }

  /** Device nodes and FIFOs left out so far, and hard links to them. */
  get skipped(): number {
    return this.#skipped;
  }

  entry(entry: TarEntry): void {
    if (entry.type === "label") return;
    this.#table.counts.entries++;
    this.#table.counts.contentBytes += entry.size;
    for (const budget of this.#budgets) budget.takeEntry(entry.name, entry.size);
    if (this.#utf8Only && !(isUtf8(entry.name) && isUtf8(entry.linkName))) {
      throw refuseEntry(entry.name, "its name or target is no UTF-8, which this runtime (Deno) cannot write");
    }
    const path = cleanEntryPath(entry.name, entry.name);
    if (path.ends.length === 0) this.#putRoot(entry);
    else this.#put(entry, path, this.#makeParents(entry, path));
  }

  data(bytes: Buffer): void {
    const file = this.#file;
    if (file === undefined) return;
    if (bytes.length === file.size) file.digest = hash("sha256", bytes, "buffer");
    else file.hash = (file.hash ?? createHash("sha256")).update(bytes);
    this.#folder.write(file.descriptor, bytes, file.path);
  }

  endEntry(): void {
    const file = this.#file;
    if (file === undefined) return;
    this.#file = undefined;
    this.#folder.finishFile(file.descriptor, file.path, file.mode, file.mtime);
    this.#table.putContent(file.row, file.size, file.digest ?? file.hash?.digest() ?? EMPTY_DIGEST);
  }

  /** The tar is over: sets modes and times of folders, what is deepest first, and returns what was made. */
  finish(): LayerTable {
    for (let row = this.#table.rowCount - 1; row >= 0; row--) {
      if (this.#table.type(row) !== "folder") continue;
      this.#folder.finishFolder(this.#table.path(row), this.#table.mode(row), this.#table.mtime(row));
    }
    return this.#table;
  }

  /** Closes what a failure left open. */
  close(): void {
    if (this.#file !== undefined) closeSync(this.#file.descriptor);
    this.#file = undefined;
  }

  #putRoot(entry: TarEntry): void {
    if (entry.type !== "folder") throw refuseEntry(entry.name, "it stands for the folder that the tar is unpacked to");
    this.#table.put(0, { type: "folder", mode: this.#modes.folder(entry.mode), mtime: entry.mtime });
  }

  #put(entry: TarEntry, path: CleanPath, parent: number): void {
    const from = path.ends.length === 1 ? 0 : (path.ends.at(-2) ?? 0) + 1;
    const old = this.#table.names.find(parent, path.bytes, from, path.bytes.length);
    const place: Place = {
      path: path.bytes,
      old: old === 0 ? undefined : this.#table.type(old),
      row: old === 0 ? this.#addRow(entry, parent, path.bytes, from, path.bytes.length) : old,
    };
    if (entry.type === "folder") this.#putFolder(entry, place);
    else if (entry.type === "file") this.#putFile(entry, place);
    else if (entry.type === "symlink") this.#putSymlink(entry, place);
    else if (entry.type === "hard-link") this.#putHardLink(entry, place);
    else this.#skip(place);
  }

  #putFolder(entry: TarEntry, place: Place): void {
    if (place.old !== "folder") {
      this.#makeRoom(entry, place);
      this.#folder.makeFolder(place.path);
    }
    this.#table.put(place.row, { type: "folder", mode: this.#modes.folder(entry.mode), mtime: entry.mtime });
  }

  #putFile(entry: TarEntry, place: Place): void {
    this.#makeRoom(entry, place);
    const { size, mtime } = entry;
    const mode = this.#modes.file(entry.mode);
    const descriptor = this.#folder.makeFile(place.path);
    this.#table.put(place.row, { type: "file", mode, mtime });
    const path = Buffer.from(place.path);
    this.#file = { descriptor, row: place.row, path, mtime, mode, size, hash: undefined, digest: undefined };
  }

  #putSymlink(entry: TarEntry, place: Place): void {
    if (entry.linkName.length === 0) throw refuseEntry(entry.name, "it is a symlink without a target");
    this.#makeRoom(entry, place);
    this.#folder.makeSymlink(place.path, entry.linkName);
    this.#table.put(place.row, { type: "symlink", mode: 0o777, mtime: entry.mtime });
  }

  #putHardLink(entry: TarEntry, place: Place): void {
    const target = cleanEntryPath(entry.linkName, entry.name);
    const row = this.#rowOfTarget(entry, target);
    const type = this.#table.type(row);
    if (type === "folder") throw refuseEntry(entry.name, "it is a hard link to a folder");
    if (type === "skipped") this.#skip(place);
    else if (row !== place.row) {
      this.#makeRoom(entry, place);
      this.#folder.makeHardLink(place.path, target.bytes);
      this.#table.putHardLink(place.row, row);
    }
  }

  /** Leaves out a device or FIFO, or a link to one. What an earlier entry of this name made stays. */
  #skip(place: Place): void {
    this.#skipped++;
    if (place.old === undefined) this.#table.put(place.row, { type: "skipped", mode: 0, mtime: undefined });
  }

  /** Takes away what an earlier entry made of this name. */
  #makeRoom(entry: TarEntry, place: Place): void {
    if (place.old === "file" || place.old === "symlink") this.#folder.removeFile(place.path);
    if (place.old === "folder" && !this.#folder.removeEmptyFolder(place.path)) {
      throw refuseEntry(entry.name, `it is a ${entry.type} where a folder is that has something in it`);
    }
  }

  #rowOfTarget(entry: TarEntry, target: CleanPath): number {
    let row = 0;
    for (let i = 0, from = 0; i < target.ends.length; i++) {
      const end = target.ends[i] ?? 0;
      if (i > 0) this.#refuseUnlessFolder(entry, this.#table.type(row));
      row = this.#table.names.find(row, target.bytes, from, end);
      if (row === 0) throw refuseEntry(entry.name, `its target ${quoteName(target.bytes)} is not in the tar before it`);
      from = end + 1;
    }
    return row;
  }

  /** The row of the folder that an entry is in. Folders that are not there yet are made. */
  #makeParents(entry: TarEntry, path: CleanPath): number {
    let row = 0;
    for (let i = 0, from = 0; i < path.ends.length - 1; i++) {
      const end = path.ends[i] ?? 0;
      const next = this.#table.names.find(row, path.bytes, from, end);
      if (next === 0) {
        this.#table.counts.impliedFolders++;
        for (const budget of this.#budgets) budget.takeImpliedFolder(entry.name);
        row = this.#addRow(entry, row, path.bytes, from, end);
        this.#folder.makeFolder(path.bytes.subarray(0, end));
        this.#table.put(row, { type: "folder", mode: IMPLIED_FOLDER_MODE, mtime: undefined });
      } else {
        row = next;
        this.#refuseUnlessFolder(entry, this.#table.type(row));
      }
      from = end + 1;
    }
    return row;
  }

  #refuseUnlessFolder(entry: TarEntry, type: LayerEntryType): void {
    if (type === "symlink") throw refuseEntry(entry.name, "its path leads through a symlink");
    if (type !== "folder") throw refuseEntry(entry.name, "its path leads through something that is no folder");
  }

  #addRow(entry: TarEntry, parent: number, bytes: Buffer, from: number, end: number): number {
    const row = this.#table.names.add(parent, bytes, from, end);
    if (row !== undefined) return row;
    throw refuseEntry(entry.name, `with it, all names in the tar take more than ${MAX_ALL_NAMES_BYTES} bytes`);
  }
}
