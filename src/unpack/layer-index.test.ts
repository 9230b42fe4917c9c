import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { tarEntry, tarOf } from "../../test/fixtures/tar-builder.ts";
import { createUnpackArea, unpackBytes } from "../../test/fixtures/unpacking.ts";
import { type LayerIndex, LayerTable } from "./layer-index.ts";
import { parseLayerIndex, readLayerIndex, serializeLayerIndex, writeLayerIndex } from "./layer-index-file.ts";

const tar = tarOf(
  tarEntry({ name: "./", type: "5", mode: 0o700, mtime: 4 }),
  tarEntry({ name: "implied/file", data: "content", mode: 0o600, mtime: 5 }),
  tarEntry({ name: "implied/linked", type: "1", linkName: "implied/file" }),
  tarEntry({ name: "said", type: "5", mode: 0o711, mtime: 6 }),
  tarEntry({ name: "said/symlink", type: "2", linkName: "../implied" }),
  tarEntry({ name: Buffer.from([0x66, 0xff]), data: "" }),
  tarEntry({ name: "fifo", type: "6" }),
);

function rowsOf(index: LayerIndex): readonly (readonly unknown[])[] {
  return Array.from({ length: index.rowCount }, (_, row) => [
    index.path(row).toString("latin1"),
    index.type(row),
    index.mode(row).toString(8),
    index.mtime(row),
    index.size(row),
    index.contentHash(row)?.toString("hex"),
    index.isHardLink(row),
    index.isImplied(row),
    index.parent(row),
    index.name(row).toString("latin1"),
  ]);
}

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

test("an index says what a tar became", async () => {
  using area = createUnpackArea();
  const { index } = await unpackBytes(tar, area.root);
  const content = sha256("content");
  assert.deepEqual(rowsOf(index), [
    ["", "folder", "755", 4, 0, undefined, false, false, 0, ""],
    ["implied", "folder", "755", undefined, 0, undefined, false, true, 0, "implied"],
    ["implied/file", "file", "644", 5, 7, content, false, false, 1, "file"],
    ["implied/linked", "file", "644", 5, 7, content, true, false, 1, "linked"],
    ["said", "folder", "755", 6, 0, undefined, false, false, 0, "said"],
    ["said/symlink", "symlink", "777", 0, 0, undefined, false, false, 4, "symlink"],
    ["f\xff", "file", "644", 0, 0, sha256(""), false, false, 0, "f\xff"],
    ["fifo", "skipped", "0", undefined, 0, undefined, false, false, 0, "fifo"],
  ]);
  assert.equal(index.fileBytes, 7);
  assert.equal(index.find(1, Buffer.from("file")), 2);
  assert.equal(index.find(0, Buffer.from("file")), undefined);
});

test("an index is read back as it was written", async () => {
  using area = createUnpackArea();
  const { index } = await unpackBytes(tar, area.root);
  const path = join(area.folder, "index");
  writeLayerIndex(index, path);
  const read = readLayerIndex(path);
  assert.deepEqual(rowsOf(read), rowsOf(index));
  assert.equal(read.find(4, Buffer.from("symlink")), 5);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.throws(() => writeLayerIndex(index, path), { code: "EEXIST" });
});

test("what is left below a folder that became a file is read back too", async () => {
  using area = createUnpackArea();
  const device = tarEntry({ name: "d/null", type: "3" });
  const { index } = await unpackBytes(tarOf(device, tarEntry({ name: "d", data: "x" })), area.root);
  assert.deepEqual(rowsOf(parseLayerIndex(serializeLayerIndex(index))), rowsOf(index));
});

test("a changed, short or long index is corrupt, whichever byte it is", async () => {
  using area = createUnpackArea();
  const { index } = await unpackBytes(tar, area.root);
  const good = serializeLayerIndex(index);
  const corrupt = { name: "DriverError", kind: "corrupt" };
  for (let at = 0; at < good.length; at++) {
    const bad = Buffer.from(good);
    bad[at] = (bad[at] ?? 0) ^ 0x40;
    assert.throws(() => parseLayerIndex(bad), corrupt, `byte ${at}`);
    assert.throws(() => parseLayerIndex(good.subarray(0, at)), corrupt, `length ${at}`);
  }
  assert.throws(() => parseLayerIndex(Buffer.concat([good, Buffer.alloc(1)])), corrupt);
  writeFileSync(join(area.folder, "empty"), "");
  assert.throws(() => readLayerIndex(join(area.folder, "empty")), corrupt);
});

test("an index whose names lead elsewhere is corrupt, even with a checksum that fits", () => {
  for (const name of ["..", ".", "a/b", "/", "a\0", ""]) {
    const table = new LayerTable();
    const row = table.names.add(0, Buffer.from(name));
    table.put(row ?? 0, { type: "folder", mode: 0o755, mtime: 0 });
    assert.throws(() => parseLayerIndex(serializeLayerIndex(table)), { kind: "corrupt" }, JSON.stringify(name));
  }
});

test("900,000 entries take less than 150 bytes each beside their names", () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
  const before = process.memoryUsage();
  const table = new LayerTable();
  const hash = randomBytes(32);
  let folder = 0;
  for (let i = 0; i < 900_000; i++) {
    const isFolder = i % 10 === 0;
    const row = table.names.add(isFolder ? 0 : folder, Buffer.from(`entry-number-${i}`));
    assert.ok(row !== undefined);
    table.put(row, { type: isFolder ? "folder" : "file", mode: 0o644, mtime: i });
    if (isFolder) folder = row;
    else table.putContent(row, i, hash);
  }
  collect();
  const after = process.memoryUsage();
  const bytes = after.heapUsed - before.heapUsed + after.arrayBuffers - before.arrayBuffers - table.names.nameBytes;
  assert.ok(bytes / 900_000 < 110, `${bytes / 900_000} bytes`);
  assert.equal(table.names.find(folder, Buffer.from("entry-number-899999")), 900_000);
  assert.equal(table.path(900_000).toString(), "entry-number-899990/entry-number-899999");
});

test("names stop growing before they fill the memory", () => {
  const table = new LayerTable();
  const name = Buffer.alloc(255, "n");
  let rows = 0;
  for (let added: number | undefined = 0; added !== undefined; rows++) {
    name.writeUInt32BE(rows);
    added = table.names.add(0, name);
  }
  assert.ok(table.names.nameBytes <= 128 * 1024 * 1024 && table.names.nameBytes > 127 * 1024 * 1024);
});
