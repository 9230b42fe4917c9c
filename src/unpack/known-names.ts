import { readdirSync } from "node:fs";
import { DriverError, errnoOf, withShortPath } from "../base/index.ts";
import { Column } from "./column.ts";
import { NameTable } from "./name-table.ts";

const SLASH = 0x2f;

/** What a folder should have in it, and all below: some 30 bytes a path beside its name. Row 0 is the folder itself. */
export class KnownNames implements Disposable {
  readonly #names = new NameTable();
  readonly #marks = new Column("u8");
  #folder: Buffer = Buffer.alloc(0);
  #folderRow = 0;

  /** How many there are, the folder itself included. */
  get size(): number {
    return this.#names.paths.size;
  }

  [Symbol.dispose](): void {
    this.#names.free();
    this.#marks.free();
  }

  /** The row of a path, which is added with all that it leads through. Throws "corrupt" for more names than a tree can have. */
  add(path: Buffer): number {
    if (path.length === 0) return 0;
    const end = path.lastIndexOf(SLASH);
    const folder = path.subarray(0, Math.max(end, 0));
    if (!folder.equals(this.#folder)) [this.#folder, this.#folderRow] = [Buffer.from(folder), this.add(folder)];
    return this.#rowIn(this.#folderRow, path, end + 1);
  }

  /** The row of a name in a folder's row, or 0. */
  find(folder: number, name: Buffer): number {
    return this.#names.find(folder, name);
  }

  path(row: number): Buffer {
    return this.#names.paths.path(row);
  }

  parent(row: number): number {
    return this.#names.paths.parent(row);
  }

  /** A number that is kept with a row, 0 at first. */
  mark(row: number): number {
    return this.#marks.get(row);
  }

  setMark(row: number, mark: number): void {
    this.#marks.set(row, mark);
  }

  #rowIn(folder: number, path: Buffer, start: number): number {
    const row = this.#names.find(folder, path, start) || this.#names.add(folder, path, start);
    if (row === undefined) throw new DriverError("corrupt", "it has more names than can be compared");
    return row;
  }
}

/** The names in a folder as it is on disk; none where no folder is, or not any more. */
export function namesOnDisk(folder: Buffer): readonly Buffer[] {
  try {
    return withShortPath(folder, (short) => readdirSync(short, { encoding: "buffer" }));
  } catch (error) {
    if (!["ENOENT", "ENOTDIR"].includes(errnoOf(error) ?? "")) throw error;
    return [];
  }
}
