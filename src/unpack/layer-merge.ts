import { Column } from "./column.ts";
import type { LayerIndexReader } from "./layer-index-reader.ts";
import type { TarRow } from "./layer-row.ts";
import { resolveLowerLinks } from "./lower-links.ts";
import { MAX_ALL_NAMES_BYTES, NameTable } from "./name-table.ts";
import { refuseTar } from "./refusal.ts";
import { isWhiteoutName } from "./whiteouts.ts";

/** One path that the layers make together. */
export interface MergedEntry {
  /** "file": whatever is no folder. */
  readonly type: "folder" | "file";
  /** The path from the root, without a slash in front; empty for the root. */
  readonly path: Buffer;
  /** The layer that it is of, counted from the lowest, 0. Undefined for a folder that only paths imply. */
  readonly layer: number | undefined;
  /** Where in that layer it is. */
  readonly source: Buffer;
  /** Bytes of a file's content, 0 where an earlier entry is the same file. */
  readonly size: number;
}

const kind = { absent: 0, folder: 1, file: 2, skipped: 3 } as const;
/** Layers count from 1 in the columns. */
const NO_LAYER = 0;
const MAX_LAYERS = 65_000;

/** What is at each path; 19 bytes a row. */
class PathStates {
  readonly kinds = new Column("u8");
  /** The layer whose file it is, or whose owner, mode and time a folder has. */
  readonly layers = new Column("u16");
  /** Of a file: the row of its path in that layer. Of a folder: the last layer that hid what lower ones have in it. */
  readonly sources = new Column("u32");
  readonly sizes = new Column("f64");
  /** The same number for all names that a layer has for one file; 0 where it is not known. */
  readonly hashNumbers = new Column("u32");

  copy(row: number, from: PathStates, fromRow: number): void {
    for (const [i, column] of this.#columns.entries()) column.set(row, from.#columns[i]?.get(fromRow) ?? 0);
  }

  free(): void {
    for (const column of this.#columns) column.free();
  }

  get #columns(): readonly Column[] {
    return [this.kinds, this.layers, this.sources, this.sizes, this.hashNumbers];
  }
}

/**
 * An image's layers put on each other in memory, the lowest first, as an overlay of them shows it: about 50 bytes a path
 * beside its name. Rows are never taken away: a path is there if its folder is, and has hidden nothing since a layer last
 * had the path.
 */
export class LayerMerge {
  readonly #names = new NameTable();
  readonly #states = new PathStates();
  /** The last layer that had this path. */
  readonly #touched = new Column("u16");
  #layer = 0;
  /** Hashes of the layers before. */
  #hashes = 0;

  constructor() {
    this.#states.kinds.set(0, kind.folder);
  }

  /** Puts the next layer on those that are there. Throws "refused" for a link to what they do not have. */
  add(index: LayerIndexReader): void {
    if (++this.#layer > MAX_LAYERS) throw refuseTar(`an image of more than ${MAX_LAYERS} layers is not read`);
    const links = new PathStates();
    const places = new Column("u32");
    try {
      if (index.hasLowerLinks) this.#resolve(index, links);
      let number = 0;
      for (const row of index.tarRows()) {
        const place = this.#placeOf(row, number, places);
        if (place !== undefined && row.type === "lower-link") this.#states.copy(place, links, number);
        else if (place !== undefined) this.#put(place, row);
        number++;
      }
    } finally {
      places.free();
      links.free();
    }
    this.#hashes += index.hashCount;
  }

  /** What is there in the end, a folder before what is in it, the root first. */
  *entries(): Generator<MergedEntry> {
    const { kinds } = this.#states;
    const counted = new Column("u8");
    let folder = 0;
    let folderPath: Buffer = Buffer.alloc(0);
    for (let row = 0; row < this.#names.paths.size; row++) {
      const parent = this.#names.paths.parent(row);
      // What is in it comes later.
      if (!this.#isThere(row, parent)) kinds.set(row, kind.absent);
      if (kinds.get(row) !== kind.folder && kinds.get(row) !== kind.file) continue;
      if (parent !== folder) [folder, folderPath] = [parent, this.#names.paths.path(parent)];
      const name = this.#names.paths.name(row);
      const path = folder === 0 ? Buffer.from(name) : Buffer.concat([folderPath, Buffer.from("/"), name]);
      yield kinds.get(row) === kind.folder ? this.#folderEntry(row, path) : this.#fileEntry(row, path, counted);
    }
    counted.free();
  }

  /** Gives all memory back at once. */
  free(): void {
    this.#names.free();
    this.#states.free();
    this.#touched.free();
  }

  #folderEntry(row: number, path: Buffer): MergedEntry {
    const layer = this.#states.layers.get(row);
    return { type: "folder", path, layer: layer === NO_LAYER ? undefined : layer - 1, source: path, size: 0 };
  }

  #fileEntry(row: number, path: Buffer, counted: Column): MergedEntry {
    const { layers, sources, sizes, hashNumbers } = this.#states;
    const sourceRow = sources.get(row);
    const source = sourceRow === row ? path : this.#names.paths.path(sourceRow);
    const number = hashNumbers.get(row);
    const isCounted = number !== 0 && counted.get(number) !== 0;
    counted.set(number, 1);
    return { type: "file", path, layer: layers.get(row) - 1, source, size: isCounted ? 0 : sizes.get(row) };
  }

  /** Whether something is at a path, if its folder's own row says so. */
  #isThere(row: number, parent: number): boolean {
    if (row === 0) return true;
    const { kinds, sources } = this.#states;
    if (kinds.get(row) === kind.absent || kinds.get(parent) !== kind.folder) return false;
    return this.#touched.get(row) >= sources.get(parent);
  }

  #resolve(index: LayerIndexReader, links: PathStates): void {
    resolveLowerLinks(index, {
      find: (folder, name) => {
        const row = this.#names.find(folder, name);
        return row !== 0 && this.#isThere(row, folder) ? row : undefined;
      },
      take: (link, target) => {
        links.copy(link, this.#states, target);
        return this.#states.kinds.get(target) !== kind.folder;
      },
    });
  }

  /**
   * Our row for one of the layer's, whose folder's row was seen before; `places` says, by the layer's rows, which row of
   * ours and 1. Undefined for what is never there: names without meaning, and what was in a folder that the layer itself
   * replaced later.
   */
  #placeOf({ parent, name, type, hidesLower }: TarRow, number: number, places: Column): number | undefined {
    const folder = number === 0 ? 0 : places.get(parent) - 1;
    if (folder < 0 || this.#states.kinds.get(folder) !== kind.folder) return undefined;
    if (isWhiteoutName(name) || (type === "nothing" && !hidesLower)) return undefined;
    const place = number === 0 ? 0 : this.#rowOf(folder, name);
    if (!this.#isThere(place, folder)) this.#states.kinds.set(place, kind.absent);
    this.#touched.set(place, this.#layer);
    places.set(number, place + 1);
    return place;
  }

  #rowOf(folder: number, name: Buffer): number {
    const row = this.#names.find(folder, name) || this.#names.add(folder, name);
    if (row !== undefined) return row;
    throw refuseTar(`the names in all layers of the image take more than ${MAX_ALL_NAMES_BYTES} bytes`);
  }

  #put(place: number, row: TarRow): void {
    const { kinds } = this.#states;
    if (row.type === "folder") this.#putFolder(place, row);
    else if (row.type === "nothing") kinds.set(place, kind.absent);
    else if (row.type === "skipped") kinds.set(place, kind.skipped);
    else this.#putFile(place, row);
  }

  /** A folder on a folder is one with it. It has the owner, mode and time of the last layer with an entry for it. */
  #putFolder(place: number, { mtime, hidesLower }: TarRow): void {
    const { kinds, layers, sources } = this.#states;
    const isNew = kinds.get(place) !== kind.folder;
    if (isNew) layers.set(place, NO_LAYER);
    if (isNew || hidesLower) sources.set(place, this.#layer);
    if (mtime !== undefined) layers.set(place, this.#layer);
    kinds.set(place, kind.folder);
  }

  #putFile(place: number, { size, hashNumber, isHardLink }: TarRow): void {
    const { kinds, layers, sources, sizes, hashNumbers } = this.#states;
    kinds.set(place, kind.file);
    layers.set(place, this.#layer);
    sources.set(place, place);
    hashNumbers.set(place, hashNumber === 0 ? 0 : this.#hashes + hashNumber);
    // Without a number, the first name counts.
    sizes.set(place, hashNumber === 0 && isHardLink ? 0 : size);
  }
}
