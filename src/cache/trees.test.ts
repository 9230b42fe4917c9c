import assert from "node:assert/strict";
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { useDataDir } from "../../test/helpers/data-dir.ts";
import { watchDisk } from "../../test/helpers/disk-calls.ts";
import { digestOf } from "../oci/index.ts";
import type { Cache } from "./cache.ts";
import type { TreeId } from "./layout.ts";

const id = "ab".repeat(32) as TreeId;
const manifest = digestOf(Buffer.from("manifest"));
const facts = { manifest, bytes: 3, inodes: 2, layers: [digestOf(Buffer.from("layer"))] };

function stage(cache: Cache, content: string): string {
  const folder = join(cache.layout.tmp, `staged-${content}`);
  mkdirSync(folder);
  writeFileSync(join(folder, "file"), content);
  return folder;
}

const contentOf = (folder: string) => readFileSync(join(folder, "file"), "utf8");

test("a tree that was committed is found, also by the next run", async (t) => {
  const area = useDataDir(t);
  const cache = await area.open();
  assert.equal(await cache.trees.find(id), undefined);
  const staged = stage(cache, "one");
  const tree = await cache.commitTree(id, staged, facts);
  assert.deepEqual(area.synced, [staged]);
  assert.deepEqual(tree, {
    id,
    folder: cache.layout.treeFolder(id),
    manifest,
    bytes: 3,
    inodes: 2,
    damage: undefined,
    references: [],
  });
  assert.deepEqual(await cache.trees.find(id), tree);
  assert.deepEqual(await (await area.open()).trees.find(id), tree);
  assert.equal(contentOf(tree.folder), "one");
  const record = JSON.parse(readFileSync(cache.layout.treeRecord(id), "utf8")) as unknown;
  const rootTimeMs = Math.floor(statSync(tree.folder).mtimeMs);
  assert.deepEqual(record, { id, ...facts, references: [], rootTimeMs, createdAt: area.clock.now() });
  assert.deepEqual(area.lines, []);
});

test("a tree that is there stays: pods have it mounted", async (t) => {
  const cache = await useDataDir(t).open();
  const first = await cache.commitTree(id, stage(cache, "one"), facts);
  const second = await cache.commitTree(id, stage(cache, "two"), { ...facts, bytes: 99 });
  assert.deepEqual(second, first);
  assert.equal(contentOf(first.folder), "one");
});

test("many who commit one tree at once have the same one", async (t) => {
  const cache = await useDataDir(t).open();
  const staged = ["a", "b", "c", "d"].map((content) => stage(cache, content));
  const trees = await Promise.all(staged.map((folder) => cache.commitTree(id, folder, facts)));
  for (const tree of trees) assert.deepEqual(tree, await cache.trees.find(id));
  assert.equal(contentOf(cache.layout.treeFolder(id)), "a");
});

test("a folder without a record is no tree, and is kept by the commit that makes it one", async (t) => {
  const cache = await useDataDir(t).open();
  renameSync(stage(cache, "mounted"), cache.layout.treeFolder(id));
  assert.equal(await cache.trees.find(id), undefined);
  await cache.commitTree(id, stage(cache, "again"), facts);
  assert.ok((await cache.trees.find(id)) !== undefined);
  assert.equal(contentOf(cache.layout.treeFolder(id)), "mounted");
});

test("a record without a folder is no tree, and is replaced", async (t) => {
  const cache = await useDataDir(t).open();
  const { folder } = await cache.commitTree(id, stage(cache, "one"), facts);
  rmSync(folder, { recursive: true });
  assert.equal(await cache.trees.find(id), undefined);
  await cache.commitTree(id, stage(cache, "two"), { ...facts, bytes: 4 });
  assert.equal((await cache.trees.find(id))?.bytes, 4);
  assert.equal(contentOf(folder), "two");
});

for (const kind of ["a file", "a link"]) {
  test(`${kind} where a tree's folder should be is no tree, and makes way`, async (t) => {
    const cache = await useDataDir(t).open();
    const { folder } = await cache.commitTree(id, stage(cache, "one"), facts);
    renameSync(folder, `${folder}.moved`);
    if (kind === "a file") writeFileSync(folder, "");
    else symlinkSync(`${folder}.moved`, folder);
    assert.equal(await cache.trees.find(id), undefined);
    await cache.commitTree(id, stage(cache, "two"), facts);
    assert.equal(contentOf(folder), "two");
    assert.ok((await cache.trees.find(id)) !== undefined);
  });
}

const record = { id, ...facts };
const corrupt: [name: string, content: string][] = [
  ["an empty file", ""],
  ["half a record", JSON.stringify(record).slice(0, 40)],
  ["no manifest", JSON.stringify({ ...record, manifest: undefined })],
  ["a digest that is none", JSON.stringify({ ...record, manifest: "sha256:../../x" })],
  ["bytes in words", JSON.stringify({ ...record, bytes: "3" })],
  ["no count of inodes", JSON.stringify({ ...record, inodes: null })],
];
for (const [name, content] of corrupt) {
  test(`a corrupt record is reported, moved aside and made anew, the tree stays: ${name}`, async (t) => {
    const area = useDataDir(t);
    const cache = await area.open();
    const tree = await cache.commitTree(id, stage(cache, "mounted"), facts);
    writeFileSync(cache.layout.treeRecord(id), content);
    assert.equal(await cache.trees.find(id), undefined);
    assert.deepEqual([area.lines.length, area.lines[0]?.["level"]], [1, "error"]);
    assert.match(String(readdirSync(cache.layout.tmp)), /^corrupt-.*-(ab)+\.json$/);
    assert.deepEqual(await cache.commitTree(id, stage(cache, "again"), facts), tree);
    assert.equal(contentOf(tree.folder), "mounted");
    assert.equal(area.lines.length, 1);
  });
}

test("a record with keys of a newer driver is read", async (t) => {
  const cache = await useDataDir(t).open();
  await cache.commitTree(id, stage(cache, "one"), facts);
  writeFileSync(cache.layout.treeRecord(id), JSON.stringify({ ...record, newer: [1] }));
  assert.equal((await cache.trees.find(id))?.manifest, manifest);
});

test("a damaged tree says so until it is mended in its place, and its record keeps what a newer driver wrote", async (t) => {
  const cache = await useDataDir(t).open();
  const { folder } = await cache.commitTree(id, stage(cache, "one"), facts);
  const written = JSON.parse(readFileSync(cache.layout.treeRecord(id), "utf8")) as object;
  writeFileSync(cache.layout.treeRecord(id), JSON.stringify({ ...written, newer: [1] }));
  await cache.trees.markDamaged(id, "file has wrong bytes");
  assert.equal((await cache.trees.find(id))?.damage, "file has wrong bytes");
  const before = statSync(folder).ino;
  const mend = async (staged: string, tree: string) => renameSync(join(staged, "file"), join(tree, "file"));
  await cache.commitTree(id, stage(cache, "two"), facts, mend);
  assert.equal((await cache.trees.find(id))?.damage, undefined);
  assert.equal(contentOf(folder), "two");
  assert.equal(statSync(folder).ino, before);
  const { newer, damage } = JSON.parse(readFileSync(cache.layout.treeRecord(id), "utf8")) as Record<string, unknown>;
  assert.deepEqual([newer, damage], [[1], undefined]);
});

test("a tree that somebody put something into, or took something out of, is damaged", async (t) => {
  const cache = await useDataDir(t).open();
  const { folder } = await cache.commitTree(id, stage(cache, "one"), facts);
  utimesSync(folder, 1, 1);
  assert.match((await cache.trees.find(id))?.damage ?? "", /somebody/);
});

const steps = [
  "rename tmp/staged-new -> trees/abab",
  "sync trees",
  "create tmp/.*.tmp",
  "sync tmp/.*.tmp",
  "rename tmp/.*.tmp -> trees/abab.json",
  "sync trees",
];

test("the folder comes first, the record last", async (t) => {
  const cache = await useDataDir(t).open();
  const staged = stage(cache, "new");
  const disk = watchDisk(t, cache.layout.dataDir);
  await cache.commitTree(id, staged, facts);
  assert.deepEqual(disk.calls, steps);
});

for (const [step, call] of steps.entries()) {
  test(`a kill before "${call}" (step ${step}) leaves no tree or a whole one, and the next run makes it`, async (t) => {
    const area = useDataDir(t);
    const first = await area.open();
    const staged = stage(first, "new");
    const disk = watchDisk(t, first.layout.dataDir, step);
    await assert.rejects(first.commitTree(id, staged, facts), /killed/);
    disk.stop();
    const second = await area.open();
    const found = await second.trees.find(id);
    assert.equal(found !== undefined, step === 5);
    if (found !== undefined) assert.equal(contentOf(found.folder), "new");
    const tree = await second.commitTree(id, stage(second, "newer"), facts);
    assert.deepEqual(await second.trees.find(id), tree);
    assert.equal(contentOf(tree.folder), step === 0 ? "newer" : "new");
    await second.sweeper.idle();
    assert.deepEqual(
      readdirSync(second.layout.tmp).filter((name) => !name.startsWith("staged-newer")),
      [],
    );
  });
}

test("a tree of many names keeps some, and none is noted again and again", async (t) => {
  const cache = await useDataDir(t).open();
  await cache.commitTree(id, stage(cache, "one"), facts);
  const names = Array.from({ length: 30 }, (_, i) => `ghcr.io/org/model:v${i}`);
  for (const name of names) await cache.trees.addReference(id, name);
  assert.deepEqual((await cache.trees.find(id))?.references, names.slice(-20));
  const disk = watchDisk(t, cache.layout.dataDir);
  for (const name of names) await cache.trees.addReference(id, name);
  assert.deepEqual(disk.calls, []);
  await cache.trees.addReference(id, "ghcr.io/org/model:new");
  assert.equal((await cache.trees.find(id))?.references.at(-1), "ghcr.io/org/model:new");
});
