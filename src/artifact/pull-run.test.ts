import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { usePulls } from "../../test/helpers/pull-bench.ts";
import { artifact, type BuiltLayer, fileLayer, folderLayer, layer, TITLE } from "../../test/registry/index.ts";
import type { Digest } from "../oci/index.ts";
import type { PullProgress } from "./worker-calls.ts";

const hexOf = ({ digest }: BuiltLayer) => digest.slice("sha256:".length);
const blobOf = (one: BuiltLayer) => `blobs/sha256/${hexOf(one)}`;
const layerOf = (one: BuiltLayer) =>
  [".artifact", ".artifact.index", ".artifact.use.json"].map((end) => `layers/sha256/${hexOf(one)}${end}`);

test("files and folders become a tree, and nothing but what is kept is left", async () => {
  await using bench = await usePulls();
  const file = fileLayer("model/weights", "w".repeat(100_000));
  const folder = await folderLayer("conf", { "a/x": "1", y: { content: "#!/bin/sh", mode: 0o755 } });
  const manifest = artifact([file, folder]);
  await bench.push(manifest);
  const { staged, found } = await bench.pull(manifest);
  assert.deepEqual(
    found.map(({ path, type, mode }) => `${type} ${path} ${mode.toString(8)}`),
    [
      "folder conf 755",
      "folder conf/a 755",
      "file conf/a/x 644",
      "file conf/y 755",
      "folder model 755",
      "file model/weights 644",
    ],
  );
  assert.equal(found.find(({ path }) => path === "model/weights")?.content, "w".repeat(100_000));
  assert.equal(staged.bytes, 100_000 + 1 + 9);
  assert.equal(staged.inodes, 7);
  assert.deepEqual(await bench.stored(), [blobOf(file), ...layerOf(folder)]);
  assert.equal(bench.registry.log.blobGets().length, 2);
});

test("what is there is not fetched again, whatever artifact it came with", async () => {
  await using bench = await usePulls();
  const shared = [fileLayer("a", "shared"), await folderLayer("d", { x: "shared" })];
  const first = artifact(shared);
  const second = artifact([...shared, fileLayer("b", "new")]);
  await bench.push(first);
  await bench.pull(first);
  await bench.push(second);
  const { found } = await bench.pull(second);
  assert.deepEqual(
    found.map(({ path }) => path),
    ["a", "b", "d", "d/x"],
  );
  assert.equal(bench.registry.log.blobGets().length, 1);
  await bench.pull(second);
  assert.equal(bench.registry.log.blobGets().length, 1);
});

const losses: readonly [name: string, lose: (folder: string, index: string) => void][] = [
  ["the end of its index", (_, index) => truncateSync(index, 20)],
  ["all of its index but the name", (_, index) => writeFileSync(index, "")],
  ["a file", (folder) => rmSync(join(folder, "d/sub/x"))],
  ["all files", (folder) => rmSync(join(folder, "d"), { recursive: true })],
];
for (const [name, lose] of losses) {
  test(`of a cached layer the disk has lost ${name}: it is fetched anew, and that is told`, async () => {
    await using bench = await usePulls();
    const [lost, whole] = [await folderLayer("d", { "sub/x": "content" }), await folderLayer("e", { y: "content" })];
    const manifest = artifact([whole, lost]);
    await bench.push(manifest);
    const before = await bench.pull(manifest);
    const [folder = "", index = ""] = layerOf(lost).map((path) => join(bench.area.dataDir, path));
    lose(folder, index);
    bench.registry.log.clear();
    const { staged, found } = await bench.pull(manifest);
    const shown = (entries: typeof found) => entries.map(({ path, mode, content }) => [path, mode, content]);
    assert.deepEqual(shown(found), shown(before.found));
    assert.deepEqual([before.staged.refetched, staged.refetched], [[], [lost.digest]]);
    assert.equal(bench.registry.log.blobGets().length, 1);
    assert.deepEqual((await bench.pull(manifest)).staged.refetched, []);
    assert.deepEqual((await bench.stored()).sort(), [...layerOf(whole), ...layerOf(lost)].sort());
  });
}

test("two pulls at once fetch what they share once", async () => {
  await using bench = await usePulls();
  const shared = fileLayer("a", randomBytes(300_000));
  const manifests = [artifact([shared, fileLayer("b", "1")]), artifact([shared, fileLayer("b", "2")])];
  for (const manifest of manifests) await bench.push(manifest);
  await Promise.all(manifests.map((manifest) => bench.pull(manifest)));
  assert.equal(bench.registry.log.blobGets(shared.digest).length, 1);
  assert.equal(bench.registry.log.blobGets().length, 3);
});

test("one digest fifty times, as file and as folder, is fetched once each way and never waits for itself", async () => {
  await using bench = await usePulls();
  const folder = await folderLayer("d", { x: "1" });
  const files = Array.from({ length: 50 }, (_, i) => layer(folder.bytes, folder.mediaType, { [TITLE]: `f${i}` }));
  const manifest = artifact([...files, folder]);
  await bench.push(manifest);
  const { staged } = await bench.pull(manifest, { concurrency: 1 });
  assert.equal(staged.inodes, 1 + 50 + 2);
  assert.equal(bench.registry.log.blobGets().length, 2);
});

test("an artifact without files is an empty tree", async () => {
  await using bench = await usePulls();
  const { staged, found } = await bench.pull(artifact([]));
  assert.deepEqual([found, staged.bytes, staged.inodes], [[], 0, 1]);
});

test("an empty file is a file", async () => {
  await using bench = await usePulls();
  const manifest = artifact([fileLayer("empty", "")]);
  await bench.push(manifest);
  const { found } = await bench.pull(manifest);
  assert.deepEqual(
    found.map(({ path, content }) => [path, content]),
    [["empty", ""]],
  );
});

test("progress begins and ends with the sums, by phase", async () => {
  await using bench = await usePulls();
  const layers = [fileLayer("a", randomBytes(50_000)), await folderLayer("d", { x: "1" })];
  await bench.push(artifact(layers));
  await bench.pull(artifact(layers));
  const total = layers.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const reports = bench.events.filter((event): event is PullProgress => "phase" in event);
  const [first, last] = [reports[0], reports.at(-1)];
  assert.deepEqual([first?.phase, first?.doneBytes, first?.totalBytes], ["fetching", 0, total]);
  assert.deepEqual([last?.phase, last?.doneBytes, last?.totalBytes], ["assembling", total, total]);
  assert.ok(reports.some(({ phase }) => phase === "unpacking"));
});

test("no more blobs come at once than was asked for", async () => {
  await using bench = await usePulls();
  const manifest = artifact(Array.from({ length: 6 }, (_, i) => fileLayer(`f${i}`, randomBytes(1000))));
  await bench.push(manifest);
  const gate = Promise.withResolvers<void>();
  bench.registry.fault = () => ({ kind: "hold", afterBytes: 500, until: gate.promise });
  const pulling = bench.pull(manifest, { concurrency: 2 });
  const begun = () => bench.registry.log.blobGets().length;
  await bench.registry.log.waitFor(() => begun() === 2);
  for (let i = 0; i < 100; i++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(begun(), 2);
  gate.resolve();
  assert.equal((await pulling).found.length, 6);
});

describe("bytes that the repository has not given yet", () => {
  test("are fetched for proof though the cache has them, and noted", async () => {
    await using bench = await usePulls();
    const layers = [fileLayer("a", "1234"), await folderLayer("d", { x: "1" })];
    const unproven = layers.map(({ digest }) => digest as Digest);
    await bench.push(artifact(layers));
    for (let times = 1; times <= 2; times++) {
      await bench.pull(artifact(layers), { unproven });
      assert.equal(bench.registry.log.blobGets().length, 2 * times);
      assert.deepEqual(bench.given.splice(0).sort(), [...unproven].sort());
    }
    await bench.pull(artifact(layers));
    assert.equal(bench.registry.log.blobGets().length, 4);
    assert.deepEqual(bench.given, []);
  });

  test("are not noted where it has others or none, and the cache's stay", async () => {
    await using bench = await usePulls();
    const file = fileLayer("a", "1234");
    const manifest = artifact([file]);
    await bench.push(manifest);
    await bench.pull(manifest);
    const stored = await bench.stored();
    bench.registry.content.putBlob("team/thing", file.digest, Buffer.from("5678"));
    await assert.rejects(bench.pull(manifest, { unproven: [file.digest as Digest] }), { kind: "corrupt" });
    bench.registry.content.deleteBlob("team/thing", file.digest);
    await assert.rejects(bench.pull(manifest, { unproven: [file.digest as Digest] }), { kind: "not-found" });
    assert.deepEqual(bench.given, []);
    assert.deepEqual(await bench.stored(), stored);
    assert.equal((await bench.pull(manifest)).found[0]?.content, "1234");
  });
});
