import { Column } from "./column.ts";
import type { LayerFolder } from "./layer-folder.ts";
import type { LayerEntryType, LayerTable } from "./layer-index.ts";
import { MAX_ALL_NAMES_BYTES } from "./name-table.ts";
import type { CleanPath } from "./paths.ts";
import { quoteName, refuseEntry } from "./refusal.ts";
import type { TarEntry } from "./tar-entry.ts";
import type { UnpackBudget } from "./unpack-budget.ts";

/** Where folders are made and noted. */
export interface TarFoldersOptions {
  readonly folder: LayerFolder;
  readonly table: LayerTable;
  readonly budgets: readonly UnpackBudget[];
  /** Lower layers may have what a hard link leads to. */
  readonly isImageLayer: boolean;
}

const IMPLIED_FOLDER_MODE = 0o755;

/** The folders of a tar, and which row of its table a path is: a path never leads through anything but folders. */
export class TarFolders {
  readonly #folder: LayerFolder;
  readonly #table: LayerTable;
  readonly #budgets: readonly UnpackBudget[];
  readonly #isImageLayer: boolean;
  /** Folders' modes on disk, plus 1; 0 while they have others than they are to have. */
  readonly #madeModes = new Column("u16");

  constructor({ folder, table, budgets, isImageLayer }: TarFoldersOptions) {
    this.#folder = folder;
    this.#table = table;
    this.#budgets = budgets;
    this.#isImageLayer = isImageLayer;
  }

  /** Makes a folder, which is to have this mode when the tar is over. */
  make(row: number, path: Buffer, mode: number): void {
    this.#madeModes.set(row, this.#folder.makeFolder(path, mode) ? mode + 1 : 0);
  }

  /** Sets modes and times of all folders, what is deepest first. */
  finish(): void {
    for (let row = this.#table.rowCount - 1; row >= 0; row--) {
      if (this.#table.type(row) !== "folder") continue;
      const mode = this.#table.mode(row);
      const hasMode = this.#madeModes.get(row) === mode + 1;
      this.#folder.finishFolder(this.#table.path(row), hasMode ? undefined : mode, this.#table.mtime(row));
    }
  }

  /** Gives memory back at once. */
  free(): void {
    this.#madeModes.free();
  }

  /** The row of what a hard link leads to. In an image's layer it may be one of type "nothing": lower layers have it. */
  rowOfTarget(entry: TarEntry, target: CleanPath): number {
    let row = 0;
    for (let i = 0, from = 0; i < target.ends.length; i++) {
      const end = target.ends[i] ?? 0;
      const type = this.#table.type(row);
      if (type !== "nothing") this.#refuseUnlessFolder(entry, type);
      const found = this.#table.names.find(row, target.bytes, from, end);
      if (!this.#isImageLayer && (found === 0 || this.#table.type(found) === "nothing"))
        throw refuseEntry(entry.name, `its target ${quoteName(target.bytes)} is not in the tar before it`);
      // What is only spoken of takes memory like a folder that is only implied.
      if (found === 0) this.#countImplied(entry);
      row = found === 0 ? this.rowOf(entry, row, target.bytes, from, end) : found;
      from = end + 1;
    }
    return row;
  }

  /** The row of the folder that is so many parts of a path deep. Folders that are not there yet are made. */
  makeParents(entry: TarEntry, path: CleanPath, depth: number): number {
    let row = 0;
    for (let i = 0, from = 0; i < depth; i++) {
      const end = path.ends[i] ?? 0;
      row = this.rowOf(entry, row, path.bytes, from, end);
      const type = this.#table.type(row);
      if (type === "nothing") {
        this.#countImplied(entry);
        this.make(row, path.bytes.subarray(0, end), IMPLIED_FOLDER_MODE);
        this.#table.put(row, { type: "folder", mode: IMPLIED_FOLDER_MODE, mtime: undefined });
      } else {
        this.#refuseUnlessFolder(entry, type);
      }
      from = end + 1;
    }
    return row;
  }

  #countImplied(entry: TarEntry): void {
    this.#table.counts.impliedFolders++;
    for (const budget of this.#budgets) budget.takeImpliedFolder(entry.name);
  }

  #refuseUnlessFolder(entry: TarEntry, type: LayerEntryType): void {
    if (type === "symlink") throw refuseEntry(entry.name, "its path leads through a symlink");
    if (type !== "folder") throw refuseEntry(entry.name, "its path leads through something that is no folder");
  }

  /** The row of a name in a folder: a new one is of type "nothing". */
  rowOf(entry: TarEntry, parent: number, bytes: Buffer, from: number, end: number): number {
    const found = this.#table.names.find(parent, bytes, from, end);
    if (found !== 0) return found;
    const row = this.#table.names.add(parent, bytes, from, end);
    if (row !== undefined) {
      this.#table.put(row, { type: "nothing", mode: 0, mtime: undefined });
      return row;
    }
    throw refuseEntry(entry.name, `with it, all names in the tar take more than ${MAX_ALL_NAMES_BYTES} bytes`);
  }
}
