import { createHash } from "node:crypto";
import { closeSync, constants, fstatSync, openSync, writeSync } from "node:fs";
import { DriverError, errnoOf } from "../base/index.ts";
import { corruptIndex } from "./corrupt-index.ts";
import type { LayerTable } from "./layer-index.ts";

/*
 * The file: magic (8 bytes); rows, hashes, bytes of names, entries, implied folders, whether there are links into lower
 * layers, ranges of sparse files (4 each), bytes of content (8); then one after the other each row's parent and name
 * length, the table's columns, the names, the hashes, the ranges; last the sha256 of all that. Behind the hash of a sparse
 * file is one of numbers: bytes, count and first of its ranges (8 each). Numbers are little-endian.
 */
export const INDEX_MAGIC: Buffer = Buffer.from("orasidx\x04", "latin1");
export const INDEX_HEADER_BYTES: number = INDEX_MAGIC.length + 7 * 4 + 8;
export const CHECKSUM_BYTES = 32;
const PART_BYTES = 64 * 1024;
const FILE_ITSELF = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Writes an index to a new file (0600), part by part. The caller syncs it. */
export function writeLayerIndex(table: LayerTable, path: string): void {
  const file = openSync(path, "wx", 0o600);
  try {
    for (const part of indexParts(table)) writeAll(file, part, path);
  } finally {
    closeSync(file);
  }
}

/**
 * Opens an index for reading. Throws "corrupt" if what is in its place is no file: a link is not followed, and nothing is
 * waited for.
 */
export function openLayerIndex(path: string): number {
  const file = openItself(path);
  if (fstatSync(file).isFile()) return file;
  closeSync(file);
  throw corruptIndex("it is no file");
}

function openItself(path: string): number {
  try {
    return openSync(path, FILE_ITSELF);
  } catch (error) {
    if (errnoOf(error) === "ELOOP") throw corruptIndex("a symlink is in its place");
    throw error;
  }
}

function* indexParts(table: LayerTable): Generator<Buffer> {
  const hash = createHash("sha256");
  for (const part of bodyParts(table)) {
    hash.update(part);
    yield part;
  }
  yield hash.digest();
}

function* bodyParts(table: LayerTable): Generator<Buffer> {
  yield header(table);
  for (const column of [...table.names.paths.columns, ...table.columns]) yield* column.bytes(table.rowCount);
  yield* nameParts(table);
  yield* table.hashParts();
  yield* table.rangeParts();
}

function header(table: LayerTable): Buffer {
  const { entries, impliedFolders, contentBytes } = table.counts;
  const bytes = Buffer.alloc(INDEX_HEADER_BYTES);
  let at = INDEX_MAGIC.copy(bytes);
  const { nameBytes } = table.names.paths;
  const links = table.hasLowerLinks ? 1 : 0;
  const { rowCount, hashCount, rangeCount } = table;
  for (const count of [rowCount, hashCount, nameBytes, entries, impliedFolders, links, rangeCount])
    at = bytes.writeUInt32LE(count, at);
  bytes.writeDoubleLE(contentBytes, at);
  return bytes;
}

/** The names of all rows, one after the other, in parts: each is valid until the next one is asked for. */
function* nameParts(table: LayerTable): Generator<Buffer> {
  const part = Buffer.alloc(PART_BYTES);
  let fill = 0;
  for (let row = 1; row < table.rowCount; row++) {
    const name = table.names.paths.name(row);
    if (fill + name.length > part.length) {
      yield part.subarray(0, fill);
      fill = 0;
    }
    fill += name.copy(part, fill);
  }
  yield part.subarray(0, fill);
}

function writeAll(file: number, part: Buffer, path: string): void {
  for (let at = 0; at < part.length; ) {
    const written = writeSync(file, part, at);
    if (written === 0)
      throw new DriverError("no-space", `cannot write the index of a layer, ${path}: the disk is full`);
    at += written;
  }
}
