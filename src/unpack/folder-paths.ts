import { Column } from "./column.ts";
import { wrongName } from "./corrupt-index.ts";
import type { LayerEntryType } from "./layer-index.ts";
import type { TarRow } from "./layer-row.ts";
import { PathTable } from "./path-table.ts";

const SLASH = Buffer.from("/");

/** The folders seen so far. A path that they make never leads anywhere but below the root. */
export class FolderPaths {
  readonly #table = new PathTable();
  readonly #isFolder = new Column("u8");
  #row = 0;
  #lastFolder = 0;
  #lastPath: Buffer = Buffer.alloc(0);

  /** The path of the next row, which is in a folder of an earlier row. The first one is the root. */
  add({ parent: folder, name, type }: TarRow): Buffer {
    const row = this.#row++;
    if (type === "folder") this.#isFolder.set(row, 1);
    if (row === 0) {
      if (type !== "folder") throw wrongName();
      return name;
    }
    this.#table.add(folder, name, 0, type === "folder" ? name.length : 0);
    // That was also what was in a folder that gave way to a file later.
    if (!isOnDisk(type)) return name;
    if (this.#isFolder.get(folder) === 0) throw wrongName();
    if (folder !== this.#lastFolder) {
      this.#lastFolder = folder;
      this.#lastPath = this.#table.path(folder);
    }
    return folder === 0 ? name : Buffer.concat([this.#lastPath, SLASH, name]);
  }

  /** Gives all memory back at once. */
  free(): void {
    this.#table.free();
    this.#isFolder.free();
  }
}

/** Whether rows of a type are on disk. */
export function isOnDisk(type: LayerEntryType): boolean {
  return type === "folder" || type === "file" || type === "symlink";
}
