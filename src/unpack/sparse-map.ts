import { type PaxRecords, parsePaxNumber } from "./pax.ts";
import { refuseEntry } from "./refusal.ts";
import { BLOCK_BYTES, parseTarNumber } from "./tar-header.ts";

/** As many regions as a file of a terabyte has where each second megabyte is a hole. */
const MAX_REGIONS = 524_288;
/** Where old GNU headers have their regions, and the blocks that go on with them. */
const HEADER_REGIONS = { from: 386, count: 4, goesOn: 482, realSize: 483 } as const;
const EXTENSION_REGIONS = { from: 0, count: 21, goesOn: 504 } as const;
const NUMBER_BYTES = 12;

/** What is known of a sparse file before its content (GNU tar's manual, "Storing Sparse Files"). */
export interface SparseFile {
  /** Bytes of the whole file, holes included. */
  readonly realSize: number;
  readonly map: SparseMap;
  /** Where the map is gone on with: in blocks of their own, as text at the beginning of the content, or nowhere. */
  readonly rest: "blocks" | "text" | "none";
}

/** Which parts of a sparse file the tar holds: one after the other, each in blocks of its own. */
export class SparseMap {
  /** Offset and length of each. */
  readonly #numbers: number[] = [];
  readonly #name: Buffer;

  constructor(name: Buffer) {
    this.#name = Buffer.from(name);
  }

  get count(): number {
    return this.#numbers.length >>> 1;
  }

  /** Bytes of all regions. */
  get bytes(): number {
    let bytes = 0;
    for (let at = 1; at < this.#numbers.length; at += 2) bytes += this.#numbers[at] ?? 0;
    return bytes;
  }

  offset(region: number): number {
    return this.#numbers[2 * region] ?? 0;
  }

  length(region: number): number {
    return this.#numbers[2 * region + 1] ?? 0;
  }

  /** Adds the next number, offsets and lengths in turn. Throws "refused" for what is none, and for too many. */
  add(number: number | undefined): void {
    if (number === undefined || !Number.isSafeInteger(number) || number < 0)
      throw refuseEntry(this.#name, "it is a sparse file, and a number in its map is none");
    if (this.#numbers.push(number) > 2 * MAX_REGIONS)
      throw refuseEntry(this.#name, `it is a sparse file of more than ${MAX_REGIONS} parts`);
  }

  /** Throws "refused" unless the map is whole and the file and the tar have room for what it says. */
  check(realSize: number, archivedBytes: number): void {
    if (this.#numbers.length % 2 !== 0) throw refuseEntry(this.#name, "it is a sparse file, and its map is not whole");
    for (let region = 0; region < this.count; region++) {
      if (this.offset(region) + this.length(region) > realSize)
        throw refuseEntry(this.#name, "it is a sparse file, and its map leads beyond its end");
    }
    if (this.bytes > archivedBytes)
      throw refuseEntry(this.#name, "it is a sparse file with more content than its size");
  }
}

/** The sparse file that PAX records describe, in GNU's formats 0.0, 0.1 and 1.0; undefined if it is none. */
export function sparseFromPax(pax: PaxRecords, name: Buffer): SparseFile | undefined {
  const major = pax.get("GNU.sparse.major");
  const text = pax.get("GNU.sparse.map");
  const isText = major !== undefined && parsePaxNumber(major) !== 0;
  if (!isText && text === undefined) return undefined;
  const map = new SparseMap(name);
  if (!isText) for (const number of text?.toString("latin1").split(",") ?? []) map.add(decimal(number));
  const size = pax.get("GNU.sparse.realsize") ?? pax.get("GNU.sparse.size");
  const realSize = size === undefined ? undefined : decimal(size.toString("latin1"));
  if (realSize === undefined) throw refuseEntry(name, "it is a sparse file whose size is no number, or not there");
  return { realSize, map, rest: isText ? "text" : "none" };
}

/** The sparse file that an old GNU header describes. */
export function sparseFromHeader(block: Buffer, name: Buffer): SparseFile {
  const map = new SparseMap(name);
  addRegions(block, HEADER_REGIONS, map);
  const realSize = parseTarNumber(block, HEADER_REGIONS.realSize, HEADER_REGIONS.realSize + NUMBER_BYTES);
  if (realSize === undefined || realSize < 0) throw refuseEntry(name, "it is a sparse file whose size is no number");
  return { realSize, map, rest: block[HEADER_REGIONS.goesOn] === 0 ? "none" : "blocks" };
}

/** Adds what a block after an old GNU header says; true if another one follows. */
export function addExtension(block: Buffer, map: SparseMap): boolean {
  addRegions(block, EXTENSION_REGIONS, map);
  return block[EXTENSION_REGIONS.goesOn] !== 0;
}

/** The first region without a length field's digits ends the list, as in GNU tar. */
function addRegions(block: Buffer, { from, count }: { from: number; count: number }, map: SparseMap): void {
  for (let i = 0, at = from; i < count; i++, at += 2 * NUMBER_BYTES) {
    if (block[at + NUMBER_BYTES] === 0) return;
    map.add(parseTarNumber(block, at, at + NUMBER_BYTES));
    map.add(parseTarNumber(block, at + NUMBER_BYTES, at + 2 * NUMBER_BYTES));
  }
}

/** Reads a map that is text: the count of its regions, then their numbers, each ended by a line feed. */
export class SparseTextReader {
  readonly #file: SparseFile;
  #digits = "";
  #left: number | undefined;

  constructor(file: SparseFile) {
    this.#file = file;
  }

  /** Reads one block of it; true if it is the last. */
  read(block: Buffer): boolean {
    for (let at = 0; at < BLOCK_BYTES && this.#left !== 0; at++) {
      const byte = block[at] ?? 0;
      if (byte === 0x0a) this.#take();
      else this.#digits += String.fromCharCode(byte);
      if (this.#digits.length > 20) this.#file.map.add(undefined);
    }
    return this.#left === 0;
  }

  #take(): void {
    const number = decimal(this.#digits);
    this.#digits = "";
    if (this.#left === undefined) {
      if (number === undefined) this.#file.map.add(undefined);
      this.#left = 2 * (number ?? 0);
    } else {
      this.#file.map.add(number);
      this.#left--;
    }
  }
}

function decimal(text: string): number | undefined {
  return /^[0-9]{1,20}$/.test(text) ? Number(text) : undefined;
}
