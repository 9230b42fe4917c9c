import { freeBuffers } from "../base/index.ts";
import { type PaxRecords, readEntryPax, readPaxRecords } from "./pax.ts";
import { refuseEntry, refuseTar } from "./refusal.ts";
import { type SparseFile, sparseFromHeader, sparseFromPax } from "./sparse-map.ts";
import { SparseReader } from "./sparse-reader.ts";
import { type EntryOverrides, mergeEntry, OLD_SPARSE, type TarEntry } from "./tar-entry.ts";
import { BLOCK_BYTES, parseTarHeader, type TarHeader } from "./tar-header.ts";

/**
 * Takes what a reader finds: for each entry `entry`, then `data` with its content in parts, then `endEntry`. `seek` says
 * where a sparse file is gone on with.
 */
export interface TarHandler {
  entry(entry: TarEntry): void;
  seek(offset: number): void;
  data(bytes: Buffer): void;
  endEntry(): void;
}

/** PAX headers and GNU's long names are held in memory; no tar needs larger ones. */
const MAX_HEADER_BYTES = 1024 * 1024;
const flag = { pax: 0x78, solarisPax: 0x58, globalPax: 0x67, longName: 0x4c, longLinkName: 0x4b } as const;
const headerFlags: ReadonlySet<number> = new Set(Object.values(flag));

/**
 * Reads a tar that is pushed into it in parts of any size, as GNU tar reads it: v7, ustar, PAX, GNU; numbers in base 256;
 * one block of zeros, or the end of the input between two entries, ends it, and what follows is ignored. Throws
 * "refused" on what GNU tar could not read without an error, and on a header that no entry follows.
 */
export class TarReader {
  readonly #handler: TarHandler;
  readonly #globalPax: PaxRecords = new Map();
  #overrides: EntryOverrides = noOverrides();
  /** What the overrides are views of, by the type of the header that it came in. */
  readonly #bodies = new Map<number, Buffer>();
  #state: "header" | "content" | "unused" | "header-body" | "sparse" | "ended" = "header";
  #sparse: SparseReader | undefined;
  /** A header block that came in parts. */
  readonly #block = Buffer.alloc(BLOCK_BYTES);
  #blockFill = 0;
  /** Bytes until this state is over, and the padding after it. */
  #left = 0;
  #padding = 0;
  #headerType = 0;
  #headerBody = Buffer.alloc(0);
  #isEmpty = true;

  constructor(handler: TarHandler) {
    this.#handler = handler;
  }

  /** Whether a block of zeros has ended the tar. */
  get sawEndMarker(): boolean {
    return this.#state === "ended";
  }

  /** Reads on. What the handler gets are views of `chunk`, valid only during its call. */
  write(chunk: Buffer): void {
    for (let at = 0; at < chunk.length && this.#state !== "ended"; ) {
      if (this.#state === "header") at = this.#readHeader(chunk, at);
      else if (this.#sparse !== undefined) at = this.#readSparse(this.#sparse, chunk, at);
      else at = this.#readBody(chunk, at);
    }
  }

  /** The input is over. Throws "refused" if the tar is not. */
  end(): void {
    if (this.#state === "ended") return;
    const restIsZero = this.#block.subarray(0, this.#blockFill).every((byte) => byte === 0);
    if (this.#state !== "header" || !restIsZero) throw refuseTar("it is cut off in the middle: make and push it again");
    if (this.#isEmpty) throw refuseTar("it is empty, without even an end marker");
    this.#refuseUnusedHeaders();
  }

  #readHeader(chunk: Buffer, at: number): number {
    this.#isEmpty = false;
    if (this.#blockFill === 0 && chunk.length - at >= BLOCK_BYTES) {
      this.#takeBlock(chunk.subarray(at, at + BLOCK_BYTES));
      return at + BLOCK_BYTES;
    }
    const taken = chunk.copy(this.#block, this.#blockFill, at, at + BLOCK_BYTES - this.#blockFill);
    this.#blockFill += taken;
    if (this.#blockFill === BLOCK_BYTES) {
      this.#blockFill = 0;
      this.#takeBlock(this.#block);
    }
    return at + taken;
  }

  #takeBlock(block: Buffer): void {
    const header = parseTarHeader(block);
    if (header === "damaged") throw refuseTar("a header in it is damaged (wrong checksum), or it is no tar at all");
    if (header === "end") {
      this.#refuseUnusedHeaders();
      this.#state = "ended";
    } else if (headerFlags.has(header.type)) {
      this.#startHeader(header);
    } else {
      this.#startEntry(header, block);
    }
  }

  #startHeader(header: TarHeader): void {
    const size = header.size ?? -1;
    if (size < 0) throw refuseEntry(header.name, "its size is no number, or too large a one");
    if (size > MAX_HEADER_BYTES) throw refuseEntry(header.name, "it is a header of more than 1 MiB");
    this.#headerType = header.type;
    this.#headerBody = Buffer.allocUnsafeSlow(size);
    this.#startBody("header-body", size);
  }

  #startEntry(header: TarHeader, block: Buffer): void {
    const { entry, payload } = mergeEntry(header, this.#overrides, this.#globalPax);
    const sparse = entry.type === "file" ? this.#sparseFile(header, block, entry.name) : undefined;
    const name = sparse === undefined ? entry.name : Buffer.from(entry.name);
    this.#overrides = noOverrides();
    if (sparse === undefined) this.#handler.entry(entry);
    freeBuffers(this.#bodies.values());
    this.#bodies.clear();
    if (sparse !== undefined) {
      const whole = { ...entry, name, isSparse: true };
      this.#startSparse(new SparseReader({ entry: whole, file: sparse, payload, handler: this.#handler }));
      return;
    }
    if (entry.size === 0) this.#handler.endEntry();
    this.#startBody(entry.size === 0 ? "unused" : "content", payload);
  }

  #sparseFile(header: TarHeader, block: Buffer, name: Buffer): SparseFile | undefined {
    if (header.type === OLD_SPARSE) return sparseFromHeader(block, name);
    return this.#overrides.pax === undefined ? undefined : sparseFromPax(this.#overrides.pax, name);
  }

  #startSparse(reader: SparseReader): void {
    this.#state = reader.isDone ? "header" : "sparse";
    this.#sparse = reader.isDone ? undefined : reader;
  }

  #readSparse(reader: SparseReader, chunk: Buffer, at: number): number {
    const end = reader.write(chunk, at);
    if (reader.isDone) this.#startSparse(reader);
    return end;
  }

  #startBody(state: "content" | "unused" | "header-body", size: number): void {
    this.#state = state;
    this.#left = size;
    this.#padding = (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES;
    if (size === 0) this.#endBody();
  }

  #readBody(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + this.#left);
    if (this.#state === "content") this.#handler.data(chunk.subarray(at, end));
    if (this.#state === "header-body") chunk.copy(this.#headerBody, this.#headerBody.length - this.#left, at, end);
    this.#left -= end - at;
    if (this.#left === 0) this.#endBody();
    return end;
  }

  #endBody(): void {
    if (this.#state === "content") this.#handler.endEntry();
    if (this.#state === "header-body") this.#takeHeaderBody(this.#headerBody);
    this.#state = this.#padding === 0 ? "header" : "unused";
    this.#left = this.#padding;
    this.#padding = 0;
  }

  #takeHeaderBody(body: Buffer): void {
    if (this.#headerType === flag.globalPax) {
      this.#takeGlobalPax(body);
      return;
    }
    // A second header of this type takes the place of the first.
    const old = this.#bodies.get(this.#headerType);
    this.#bodies.set(this.#headerType, body);
    if (this.#headerType === flag.longName) this.#overrides.longName = withoutEnd(body);
    else if (this.#headerType === flag.longLinkName) this.#overrides.longLinkName = withoutEnd(body);
    else this.#overrides.pax = readEntryPax(body);
    if (old !== undefined) freeBuffers([old]);
  }

  #takeGlobalPax(body: Buffer): void {
    readPaxRecords(body, (key, value) => {
      const old = this.#globalPax.get(key);
      const copy = Buffer.allocUnsafeSlow(value.length);
      value.copy(copy);
      this.#globalPax.set(key, copy);
      if (old !== undefined) freeBuffers([old]);
    });
    freeBuffers([body]);
  }

  #refuseUnusedHeaders(): void {
    const { pax, longName, longLinkName } = this.#overrides;
    const name = pax?.get("path") ?? longName;
    if (name !== undefined) throw refuseEntry(name, "the tar ends after its name");
    if (pax !== undefined || longLinkName !== undefined) throw refuseTar("it ends after the header of an entry");
  }
}

function noOverrides(): EntryOverrides {
  return { pax: undefined, longName: undefined, longLinkName: undefined };
}

/** A long name without the NULs that end it; one inside stays, to be refused. */
function withoutEnd(body: Buffer): Buffer {
  let end = body.length;
  while (end > 0 && body[end - 1] === 0) end--;
  return body.subarray(0, end);
}
