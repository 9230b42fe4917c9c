import assert from "node:assert/strict";
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { useDataDir } from "../../test/helpers/data-dir.ts";
import { openDataDir } from "./data-dir.ts";

const folders = ["blobs", "ingest", "layers", "names", "references", "tmp", "trees", "volumes"];

test("a fresh data dir has its folders, closed to others, and its format", async (t) => {
  const { path, log, lines } = useDataDir(t);
  const { isNewer, requireOwnFormat } = await openDataDir(path, log);
  assert.deepEqual(readdirSync(path), [...folders, "format.json"].sort());
  for (const folder of ["", ...folders, "blobs/sha512", "layers/sha256"]) {
    assert.equal(statSync(join(path, folder)).mode & 0o7777, 0o700);
  }
  assert.equal(readFileSync(join(path, "format.json"), "utf8"), '{"format":1}\n');
  requireOwnFormat();
  assert.deepEqual([isNewer, lines], [false, []]);
});

test("a data dir is closed to others when it is opened, and unknown files are left alone", async (t) => {
  const { path, log } = useDataDir(t);
  await openDataDir(path, log);
  chmodSync(path, 0o755);
  for (const name of ["unknown", "trees/unknown", "blobs/sha256/unknown"]) writeFileSync(join(path, name), "x");
  await openDataDir(path, log);
  assert.equal(statSync(path).mode & 0o7777, 0o700);
  for (const name of ["unknown", "trees/unknown", "blobs/sha256/unknown"]) {
    assert.equal(readFileSync(join(path, name), "utf8"), "x");
  }
});

test("folders above it are made", async (t) => {
  const { path, log } = useDataDir(t);
  await openDataDir(join(path, "root", "plugin"), log);
  assert.ok(readdirSync(join(path, "root", "plugin")).includes("trees"));
});

for (const format of [2, 1000]) {
  test(`under format ${format} nothing new is published and nothing is touched`, async (t) => {
    const { path, log, lines, layout } = useDataDir(t);
    await openDataDir(path, log);
    const text = JSON.stringify({ format, newer: true });
    writeFileSync(layout.formatFile, text);
    const record = join(layout.volumes, "record.json");
    writeFileSync(record, '{"newer": "form"}');
    const { isNewer, requireOwnFormat, state } = await openDataDir(path, log);
    assert.equal(isNewer, true);
    assert.throws(() => requireOwnFormat(), {
      kind: "refused",
      message: new RegExp(`has format ${format}, this driver writes format 1: install the newer driver again`),
    });
    const unreadable = await state.read(record, () => {
      throw new Error("unknown form");
    });
    assert.equal(unreadable, undefined);
    assert.equal(readFileSync(record, "utf8"), '{"newer": "form"}');
    assert.equal(readFileSync(layout.formatFile, "utf8"), text);
    assert.deepEqual(
      lines.map(({ level }) => level),
      ["warn", "error"],
    );
  });
}

test("what a newer driver has in tmp/ stays", async (t) => {
  const area = useDataDir(t);
  const { layout } = await area.open();
  writeFileSync(join(layout.tmp, "newer"), "x");
  writeFileSync(layout.formatFile, '{"format": 2}');
  await area.open();
  assert.deepEqual(readdirSync(layout.tmp), ["newer"]);
  writeFileSync(layout.formatFile, '{"format": 1}');
  await area.open();
  assert.deepEqual(readdirSync(layout.tmp), []);
});

const corrupt: [name: string, content: string][] = [
  ["an empty file", ""],
  ["half a file", '{"format"'],
  ["no format", "{}"],
  ["a format in words", '{"format": "1"}'],
  ["format 0", '{"format": 0}'],
  ["half a format", '{"format": 1.5}'],
  ["a negative format", '{"format": -1}'],
];
for (const [name, content] of corrupt) {
  test(`a corrupt format is reported, kept and written anew: ${name}`, async (t) => {
    const area = useDataDir(t);
    const { layout } = await area.open();
    writeFileSync(layout.formatFile, content);
    const cache = await area.open();
    cache.dataDir.requireOwnFormat();
    assert.equal(readFileSync(layout.formatFile, "utf8"), '{"format":1}\n');
    assert.deepEqual([area.lines.length, area.lines[0]?.["level"]], [1, "error"]);
    const kept = String(area.lines[0]?.["kept"]);
    assert.equal(readFileSync(kept, "utf8"), content);
    await area.open();
    assert.equal(area.lines.length, 1);
  });
}

test("state files of a corrupt form are kept until the next start", async (t) => {
  const area = useDataDir(t);
  const { dataDir, layout } = await area.open();
  const record = join(layout.volumes, "record.json");
  writeFileSync(record, "{");
  assert.equal(await dataDir.state.read(record, () => 1), undefined);
  assert.equal(readFileSync(String(area.lines[0]?.["kept"]), "utf8"), "{");
  await area.open();
  assert.deepEqual(readdirSync(layout.tmp), []);
});

test("a data dir that cannot be made says so", async (t) => {
  const { path, log } = useDataDir(t);
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, "a file");
  await assert.rejects(openDataDir(path, log), {
    kind: "unavailable",
    message: `cannot write the data dir ${path} (EEXIST): see --data-dir`,
  });
  await assert.rejects(openDataDir(join(path, "below"), log), { kind: "unavailable", message: /\(ENOTDIR\)/ });
});

for (const name of [...folders, "blobs/sha256"]) {
  test(`a file that is where a folder must be is reported and kept aside: ${name}`, async (t) => {
    const area = useDataDir(t);
    const { layout } = await area.open();
    const path = join(layout.dataDir, name);
    rmSync(path, { recursive: true });
    writeFileSync(path, "junk");
    await area.open();
    assert.ok(statSync(path).isDirectory());
    assert.deepEqual([area.lines.length, area.lines[0]?.["level"], area.lines[0]?.["path"]], [1, "error", path]);
    assert.equal(readFileSync(String(area.lines[0]?.["kept"]), "utf8"), "junk");
  });
}

test("a file of a newer format is not moved, whatever its name", async (t) => {
  const area = useDataDir(t);
  const { layout } = await area.open();
  writeFileSync(layout.formatFile, '{"format": 2}');
  rmSync(layout.names, { recursive: true });
  writeFileSync(layout.names, "newer");
  await assert.rejects(area.open(), { kind: "unavailable" });
  assert.equal(readFileSync(layout.names, "utf8"), "newer");
});

test("a format that is a folder is reported, kept and written anew", async (t) => {
  const area = useDataDir(t);
  const { layout } = await area.open();
  rmSync(layout.formatFile);
  mkdirSync(layout.formatFile);
  await area.open();
  assert.equal(readFileSync(layout.formatFile, "utf8"), '{"format":1}\n');
  assert.ok(statSync(String(area.lines[0]?.["kept"])).isDirectory());
});
