import { createHash, type Hash, hash } from "node:crypto";
import { closeSync } from "node:fs";
import type { LayerFolder, Owner } from "./layer-folder.ts";
import { HASH_BYTES, type LayerTable } from "./layer-index.ts";
import type { SparseContent } from "./sparse-content.ts";

/** A file whose content is being written. */
export interface OpenFile {
  readonly descriptor: number;
  readonly row: number;
  readonly path: Buffer;
  readonly mtime: number;
  readonly mode: number;
  readonly owner: Owner | undefined;
  readonly size: number;
  /** Undefined for all that is not sparse. */
  readonly sparse: SparseContent | undefined;
  /** Only if the content comes in more than one part. */
  hash: Hash | undefined;
  digest: Buffer | undefined;
}

/** No content hashes to this. */
const NO_DIGEST = Buffer.alloc(HASH_BYTES);
const EMPTY_DIGEST = hash("sha256", Buffer.alloc(0), "buffer");

/** The content of a tar's files, one after the other: it is written to disk, and noted in the table. */
export class FileContent {
  readonly #folder: LayerFolder;
  readonly #table: LayerTable;
  readonly #hashesFiles: boolean;
  #file: OpenFile | undefined;

  constructor(folder: LayerFolder, table: LayerTable, hashesFiles: boolean) {
    this.#folder = folder;
    this.#table = table;
    this.#hashesFiles = hashesFiles;
  }

  /** What comes next is this file's. */
  begin(file: OpenFile): void {
    this.#file = file;
  }

  /** Where the next bytes of a sparse file belong. */
  seek(offset: number): void {
    if (this.#file?.sparse !== undefined) this.#file.sparse.offset = offset;
  }

  /** Takes the next bytes. */
  write(bytes: Buffer): void {
    const file = this.#file;
    if (file === undefined) return;
    this.#folder.write(file.descriptor, bytes, file.path, file.sparse?.offset);
    if (file.sparse !== undefined) file.sparse.wrote(bytes.length);
    else if (!this.#hashesFiles) return;
    else if (bytes.length === file.size) file.digest = hash("sha256", bytes, "buffer");
    else file.hash = (file.hash ?? createHash("sha256")).update(bytes);
  }

  /** All of it came: sets size, mode and time, and closes the file. */
  end(): void {
    const file = this.#file;
    if (file === undefined) return;
    const { descriptor, path, row, size, sparse } = file;
    if (sparse !== undefined) {
      this.#folder.setSize(descriptor, path, size);
      const isHashed = this.#hashesFiles && this.#table.canKeep(sparse);
      // Read back, since some of it may have been written twice.
      const held = isHashed ? this.#folder.hash(descriptor, path, sparse.ranges()) : undefined;
      this.#table.putSparse(row, size, sparse, held);
    } else if (this.#hashesFiles) {
      this.#table.putContent(row, size, file.digest ?? file.hash?.digest() ?? EMPTY_DIGEST);
    } else this.#table.putContent(row, size, NO_DIGEST);
    this.#folder.finishFile(descriptor, path, file);
    // Only now: what fails before is closed with all that a failure leaves open.
    this.#file = undefined;
    this.#folder.closeFile(descriptor, path);
  }

  /** Closes what a failure left open. */
  close(): void {
    if (this.#file !== undefined) closeSync(this.#file.descriptor);
    this.#file = undefined;
  }
}
