import { addExtension, type SparseFile, SparseTextReader } from "./sparse-map.ts";
import type { TarEntry } from "./tar-entry.ts";
import { BLOCK_BYTES } from "./tar-header.ts";
import type { TarHandler } from "./tar-reader.ts";

/** What a sparse entry is read with. */
export interface SparseReaderOptions {
  /** Its names are copies: they have to last until the map was read. */
  readonly entry: TarEntry;
  readonly file: SparseFile;
  /** Bytes that the tar holds of it, a map among them included. */
  readonly payload: number;
  readonly handler: TarHandler;
}

/** Reads what follows the header of one sparse file: the rest of its map, then the regions that the tar holds of it. */
export class SparseReader {
  readonly #options: SparseReaderOptions;
  readonly #text: SparseTextReader;
  readonly #block = Buffer.alloc(BLOCK_BYTES);
  #fill = 0;
  #stage: "map" | "region" | "skip" | "done" = "map";
  #region = -1;
  /** Bytes of this stage, and the padding after them. */
  #left = 0;
  #padding = 0;
  /** What is left of the payload, in blocks. */
  #payloadLeft: number;
  /** Blocks of the map that belong to the payload. */
  #mapBytes = 0;

  constructor(options: SparseReaderOptions) {
    this.#options = options;
    this.#text = new SparseTextReader(options.file);
    this.#payloadLeft = Math.ceil(options.payload / BLOCK_BYTES) * BLOCK_BYTES;
    if (options.file.rest === "none") this.#start();
  }

  get isDone(): boolean {
    return this.#stage === "done";
  }

  /** Reads on from `at` and returns how far it came. */
  write(chunk: Buffer, at: number): number {
    if (this.#stage === "map") return this.#readMap(chunk, at);
    const end = Math.min(chunk.length, at + this.#left);
    if (this.#stage === "region" && end > at) this.#options.handler.data(chunk.subarray(at, end));
    this.#left -= end - at;
    if (this.#left === 0) this.#next();
    return end;
  }

  #readMap(chunk: Buffer, at: number): number {
    const taken = chunk.copy(this.#block, this.#fill, at, at + BLOCK_BYTES - this.#fill);
    this.#fill += taken;
    if (this.#fill === BLOCK_BYTES) {
      this.#fill = 0;
      this.#takeMapBlock();
    }
    return at + taken;
  }

  #takeMapBlock(): void {
    const { file, payload } = this.#options;
    if (file.rest === "blocks") {
      if (!addExtension(this.#block, file.map)) this.#start();
      return;
    }
    this.#mapBytes += BLOCK_BYTES;
    this.#payloadLeft -= BLOCK_BYTES;
    if (this.#text.read(this.#block)) this.#start();
    else if (this.#mapBytes >= payload) file.map.add(undefined);
  }

  /** The map is known: the entry is, too. */
  #start(): void {
    const { entry, file, payload, handler } = this.#options;
    file.map.check(file.realSize, payload - this.#mapBytes);
    handler.entry({ ...entry, size: file.realSize, contentBytes: file.map.bytes });
    this.#next();
  }

  /** A region is over, or its padding. */
  #next(): void {
    const { file, handler } = this.#options;
    if (this.#stage === "region" && this.#padding > 0) {
      this.#stage = "skip";
      this.#left = this.#padding;
      this.#padding = 0;
      return;
    }
    while (++this.#region < file.map.count) {
      const length = file.map.length(this.#region);
      if (length === 0) continue;
      handler.seek(file.map.offset(this.#region));
      this.#stage = "region";
      this.#left = length;
      this.#padding = (BLOCK_BYTES - (length % BLOCK_BYTES)) % BLOCK_BYTES;
      this.#payloadLeft -= length + this.#padding;
      return;
    }
    this.#finish();
  }

  /** What the tar holds beyond the regions is left out. */
  #finish(): void {
    this.#left = Math.max(this.#payloadLeft, 0);
    this.#payloadLeft = 0;
    this.#stage = this.#left > 0 ? "skip" : "done";
    if (this.#stage === "done") this.#options.handler.endEntry();
  }
}
