import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { tarEntry, tarOf } from "../../test/fixtures/tar-builder.ts";
import { createUnpackArea, rowsOf, unpackBytes } from "../../test/fixtures/unpacking.ts";
import { LayerTable } from "./layer-index.ts";
import { writeLayerIndex } from "./layer-index-file.ts";
import { LayerIndexReader } from "./layer-index-reader.ts";

const tar = tarOf(
  tarEntry({ name: "./", type: "5", mode: 0o700, mtime: 4 }),
  tarEntry({ name: "implied/file", data: "content", mode: 0o600, mtime: 5 }),
  tarEntry({ name: "implied/linked", type: "1", linkName: "implied/file" }),
  tarEntry({ name: "said", type: "5", mode: 0o711, mtime: 6 }),
  tarEntry({ name: "said/symlink", type: "2", linkName: "../implied" }),
  tarEntry({ name: Buffer.from([0x66, 0xff]), data: "" }),
  tarEntry({ name: "fifo", type: "6" }),
);

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

test("an index says what a tar became", async () => {
  using area = createUnpackArea();
  const { index } = await unpackBytes(tar, area.root);
  const content = sha256("content");
  const rows = rowsOf(index).map((row) => {
    const { type, mode, mtime, size, contentHash, isHardLink } = row;
    return [row.path.toString("latin1"), type, mode.toString(8), mtime, size, contentHash?.toString("hex"), isHardLink];
  });
  assert.deepEqual(rows, [
    ["", "folder", "755", 4, 0, undefined, false],
    ["implied", "folder", "755", undefined, 0, undefined, false],
    ["implied/file", "file", "644", 5, 7, content, false],
    ["implied/linked", "file", "644", 5, 7, content, true],
    ["said", "folder", "755", 6, 0, undefined, false],
    ["said/symlink", "symlink", "777", 0, 0, undefined, false],
    ["f\xff", "file", "644", 0, 0, sha256(""), false],
  ]);
  assert.deepEqual(index.counts, { entries: 7, contentBytes: 7, impliedFolders: 1 });
});

test("an index may do without hashes", async () => {
  using area = createUnpackArea();
  const { index } = await unpackBytes(tar, area.root, {
    hashesFiles: false,
    partBytes: 3,
  });
  const file = rowsOf(index).find(({ path }) => path.toString() === "implied/file");
  assert.deepEqual([file?.size, file?.contentHash], [7, Buffer.alloc(32)]);
  assert.equal(readFileSync(join(area.root, "implied/file"), "utf8"), "content");
});

test("an index of many rows is read back as it was written", () => {
  using area = createUnpackArea();
  const table = new LayerTable();
  const expected = [""];
  for (let i = 0, folder = 0; i < 20_000; i++) {
    const isFolder = i % 7 === 0;
    const name = `entry-${i}`;
    const row = table.names.add(folder, Buffer.from(name)) ?? 0;
    table.put(row, { type: isFolder ? "folder" : "symlink", mode: i % 512, mtime: i });
    const path = table.path(row).toString();
    expected.push(path);
    if (isFolder) folder = i % 70 === 0 ? 0 : row;
  }
  const path = join(area.folder, "index");
  writeLayerIndex(table, path);
  using reader = new LayerIndexReader(path);
  const rows = Array.from(reader.rows(), (row) => ({ ...row, path: row.path.toString() }));
  assert.deepEqual(
    rows.map((row) => row.path),
    expected,
  );
  assert.ok(rows.slice(1).every(({ mode, mtime }, i) => mode === i % 512 && mtime === i));
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.throws(() => writeLayerIndex(table, path), { code: "EEXIST" });
});

test("what was left out below a folder that became a file is read over", async () => {
  using area = createUnpackArea();
  const device = tarEntry({ name: "d/null", type: "3" });
  const after = tarEntry({ name: "e/f", data: "y" });
  const { index } = await unpackBytes(tarOf(device, tarEntry({ name: "d", data: "x" }), after), area.root);
  assert.deepEqual(
    rowsOf(index).map((row) => `${row.type} ${row.path}`),
    ["folder ", "file d", "folder e", "file e/f"],
  );
});

test("a changed, short or long index is corrupt, whichever byte it is", async () => {
  using area = createUnpackArea();
  const { index } = await unpackBytes(tar, area.root);
  const path = join(area.folder, "index");
  writeLayerIndex(index, path);
  const good = readFileSync(path);
  const isCorrupt = (bytes: Buffer, what: string) => {
    writeFileSync(path, bytes);
    assert.throws(() => new LayerIndexReader(path), { name: "DriverError", kind: "corrupt" }, what);
  };
  for (let at = 0; at < good.length; at++) {
    const bad = Buffer.from(good);
    bad[at] = (bad[at] ?? 0) ^ 0x40;
    isCorrupt(bad, `byte ${at}`);
    isCorrupt(good.subarray(0, at), `length ${at}`);
  }
  isCorrupt(Buffer.concat([good, Buffer.alloc(1)]), "one more");
});

test("an index whose paths lead elsewhere is corrupt, even with a checksum that fits", () => {
  for (const name of ["..", ".", "a/b", "/", "a\0", ""]) {
    const table = new LayerTable();
    table.put(table.names.add(0, Buffer.from(name)) ?? 0, { type: "folder", mode: 0o755, mtime: 0 });
    assert.throws(() => rowsOf(table), { kind: "corrupt" }, JSON.stringify(name));
  }
  for (const parent of [1, 2, 3, 77]) {
    const table = new LayerTable();
    table.put(table.names.add(0, Buffer.from("link")) ?? 0, { type: "symlink", mode: 0o777, mtime: 0 });
    table.put(table.names.add(parent, Buffer.from("through")) ?? 0, { type: "file", mode: 0o644, mtime: 0 });
    assert.throws(() => rowsOf(table), { kind: "corrupt" }, `below row ${parent}`);
  }
});

test("900,000 entries take less than 110 bytes each beside their names, and are freed at once", () => {
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
  const full = process.memoryUsage();
  const bytes = full.heapUsed - before.heapUsed + full.arrayBuffers - before.arrayBuffers - table.names.paths.nameBytes;
  assert.ok(bytes / 900_000 < 110, `${bytes / 900_000} bytes`);
  assert.equal(table.names.find(folder, Buffer.from("entry-number-899999")), 900_000);
  assert.equal(table.path(900_000).toString(), "entry-number-899990/entry-number-899999");
  table.free();
  const left = process.memoryUsage().arrayBuffers - before.arrayBuffers;
  assert.ok(left < 1_000_000, `${left} bytes`);
});

test("names stop growing before they fill the memory", () => {
  const table = new LayerTable();
  const name = Buffer.alloc(255, "n");
  let rows = 0;
  for (let added: number | undefined = 0; added !== undefined; rows++) {
    name.writeUInt32BE(rows);
    added = table.names.add(0, name);
  }
  assert.ok(table.names.paths.nameBytes <= 128 * 1024 * 1024 && table.names.paths.nameBytes > 127 * 1024 * 1024);
});

test("what lies below one name of the root is counted, if nothing is beside it", async () => {
  using area = createUnpackArea();
  const below = [
    tarEntry({ name: "t/implied/file", data: "content" }),
    tarEntry({ name: "t/linked", type: "1", linkName: "t/implied/file" }),
    tarEntry({ name: "t/symlink", type: "2", linkName: "implied" }),
    tarEntry({ name: "t/a", data: "another" }),
    tarEntry({ name: "t/a", data: "one" }),
  ];
  const count = async (name: string, ...beside: readonly Buffer[]) => {
    const root = join(area.root, name);
    mkdirSync(root);
    const { index } = await unpackBytes(tarOf(...below, ...beside), root);
    writeLayerIndex(index, `${root}.index`);
    using read = new LayerIndexReader(`${root}.index`);
    return [read.countBelow(Buffer.from("t")), read.countBelow(Buffer.from("tt"))];
  };
  const found = { bytes: 10, inodes: 6 };
  assert.deepEqual(await count("alone"), [found, undefined]);
  // It is not on disk.
  assert.deepEqual(await count("fifo", tarEntry({ name: "fifo", type: "6" })), [found, undefined]);
  assert.deepEqual(await count("beside", tarEntry({ name: "tt", data: "" })), [undefined, undefined]);
});
