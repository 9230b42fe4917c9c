import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";
import { DriverError } from "../base/index.ts";
import { HASH_BYTES, type LayerIndex, LayerTable } from "./layer-index.ts";

/*
 * The file: magic (8 bytes), rows, hashes and bytes of names (4 each), then one after the other each row's parent and
 * name length, the table's columns, the names, the hashes; last the sha256 of all that. Numbers are little-endian.
 */
const MAGIC = Buffer.from("orasidx\x01", "latin1");
const HEADER_BYTES = MAGIC.length + 3 * 4;
const CHECKSUM_BYTES = 32;
const PART_BYTES = 64 * 1024;

/** Writes an index to a new file (0600), part by part. The caller syncs it. */
export function writeLayerIndex(table: LayerTable, path: string): void {
  const file = openSync(path, "wx", 0o600);
  try {
    for (const part of indexParts(table)) writeAll(file, part, path);
  } finally {
    closeSync(file);
  }
}

/** Reads the index in a file. Throws "corrupt" if it is not exactly what `writeLayerIndex` writes. */
export function readLayerIndex(path: string): LayerIndex {
  const file = openSync(path, "r");
  try {
    const bytes = Buffer.allocUnsafe(fstatSync(file).size);
    for (let at = 0; at < bytes.length; ) {
      const read = readSync(file, bytes, at, bytes.length - at, at);
      if (read === 0) throw corrupt("it got shorter while it was read");
      at += read;
    }
    return parseLayerIndex(bytes);
  } finally {
    closeSync(file);
  }
}

/** The bytes of the file that holds an index. */
export function serializeLayerIndex(table: LayerTable): Buffer {
  return Buffer.concat([...indexParts(table)].map((part) => Buffer.from(part)));
}

/** The index in the bytes of such a file. Throws "corrupt" if they are not exactly that. */
export function parseLayerIndex(bytes: Buffer): LayerIndex {
  if (bytes.length < HEADER_BYTES + CHECKSUM_BYTES) throw corrupt("it is too short");
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) throw corrupt("it does not begin as one of this format");
  const body = bytes.subarray(0, -CHECKSUM_BYTES);
  const checksum = createHash("sha256").update(body).digest();
  if (!checksum.equals(bytes.subarray(-CHECKSUM_BYTES))) throw corrupt("its checksum does not fit");
  return loadTable(body);
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
  const header = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(header);
  header.writeUInt32LE(table.rowCount, MAGIC.length);
  header.writeUInt32LE(table.hashCount, MAGIC.length + 4);
  header.writeUInt32LE(table.names.nameBytes, MAGIC.length + 8);
  yield header;
  for (const column of [...table.names.columns, ...table.columns]) yield* column.bytes(table.rowCount);
  yield* nameParts(table);
  yield* table.hashParts();
}

/** The names of all rows, one after the other, in parts: each is valid until the next one is asked for. */
function* nameParts(table: LayerTable): Generator<Buffer> {
  const part = Buffer.alloc(PART_BYTES);
  let fill = 0;
  for (let row = 1; row < table.rowCount; row++) {
    const name = table.name(row);
    if (fill + name.length > part.length) {
      yield part.subarray(0, fill);
      fill = 0;
    }
    fill += name.copy(part, fill);
  }
  yield part.subarray(0, fill);
}

function loadTable(body: Buffer): LayerIndex {
  const rows = body.readUInt32LE(MAGIC.length);
  const hashes = body.readUInt32LE(MAGIC.length + 4);
  const nameBytes = body.readUInt32LE(MAGIC.length + 8);
  const table = new LayerTable();
  let at = HEADER_BYTES;
  const take = (length: number): Buffer => {
    at += length;
    return body.subarray(at - length, at);
  };
  const [parents, lengths] = [take(4 * rows), take(rows)];
  const columns = table.columns.map((column) => ({ column, bytes: take(rows * column.rowBytes) }));
  const names = take(nameBytes);
  const contentHashes = take(hashes * HASH_BYTES);
  if (rows === 0 || at !== body.length) throw corrupt("its parts are not as long as they should be");
  for (const { column, bytes } of columns) column.load(rows, bytes);
  table.loadHashes(contentHashes);
  for (let row = 1, from = 0; row < rows; row++) {
    const end = from + (lengths[row] ?? 0);
    addRow(table, parents.readUInt32LE(4 * row), names.subarray(from, end));
    from = end;
  }
  return table;
}

/** Adds the next row's name. A path that this makes must never lead anywhere but below the root. */
function addRow(table: LayerTable, parent: number, name: Buffer): void {
  const text = name.toString("latin1");
  const isSane = text !== "" && text !== "." && text !== ".." && !/[/\0]/.test(text);
  const row = table.rowCount;
  const isBelowFolder = parent < row && (table.type(parent) === "folder" || table.type(row) === "skipped");
  if (!isSane || !isBelowFolder || table.find(parent, name) !== undefined) throw corrupt("one of its names cannot be");
  table.names.add(parent, name);
}

function writeAll(file: number, part: Buffer, path: string): void {
  for (let at = 0; at < part.length; ) {
    const written = writeSync(file, part, at);
    if (written === 0)
      throw new DriverError("no-space", `cannot write the index of a layer, ${path}: the disk is full`);
    at += written;
  }
}

function corrupt(why: string): DriverError {
  return new DriverError("corrupt", `cannot read the index of an unpacked layer: ${why}`);
}
