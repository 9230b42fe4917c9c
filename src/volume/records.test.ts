import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type CacheArea, useCache } from "../../test/helpers/cache-area.ts";
import type { TreeId } from "../cache/index.ts";
import { Records, type VolumeRecord, volumeKeyOf } from "./records.ts";

function record(volumeId: string, targetPath: string): VolumeRecord {
  return {
    key: volumeKeyOf(volumeId, targetPath),
    volumeId,
    targetPath,
    tree: "t".repeat(64) as TreeId,
    spec: "{}",
    readOnly: true,
    namespace: "prod",
    pod: "thing-0",
    reference: "ghcr.io/org/thing:v1",
    manifest: `sha256:${"e".repeat(64)}`,
  };
}

function load({ cache }: CacheArea): Promise<Records> {
  return Records.load(cache);
}

test("records survive a restart", async () => {
  await using area = await useCache();
  const written = record("v1", "/a");
  await (await load(area)).put(written);
  const records = await load(area);
  assert.deepEqual(records.get(written.key), written);
  assert.deepEqual(records.otherAtTarget("/a", record("v2", "/a").key), written);
  assert.equal(records.otherAtTarget("/a", written.key), undefined);
  assert.equal(records.otherAtTarget("/b", written.key), undefined);
});

test("records are found by target and by volume, whatever came and went", async () => {
  await using area = await useCache();
  const written = await load(area);
  const [one, two, three] = [record("v1", "/a"), record("v1", "/b"), record("v2", "/b")];
  for (const each of [one, two, three]) await written.put(each);
  await written.put({ ...two, readOnly: false });
  for (const records of [written, await load(area)]) {
    const targets = records.ofVolume("v1").map(({ targetPath }) => targetPath);
    assert.deepEqual(targets.sort(), ["/a", "/b"]);
    assert.equal(records.otherAtTarget("/b", three.key)?.readOnly, false);
    await records.delete(two.key);
    assert.deepEqual(records.ofVolume("v1"), [one]);
    assert.equal(records.otherAtTarget("/b", three.key), undefined);
    assert.deepEqual(records.otherAtTarget("/b", two.key), three);
    await records.delete(one.key);
    assert.deepEqual(records.ofVolume("v1"), []);
  }
});

test("a folder in a record's place is moved aside, and the volume is forgotten", async () => {
  await using area = await useCache();
  const records = await load(area);
  const written = record("v1", "/a");
  await records.put(written);
  const path = join(area.cache.layout.volumes, `${written.key}.json`);
  rmSync(path);
  mkdirSync(join(path, "x"), { recursive: true });
  await records.delete(written.key);
  assert.deepEqual([records.all(), readdirSync(area.cache.layout.volumes)], [[], []]);
  assert.ok(written.tree !== undefined);
  assert.equal(area.cache.leases.count(written.tree), 0);
  assert.ok(area.lines.some((line) => line.includes("state file is corrupt")));
});

test("a folder in the place of a record that there was none of yet makes way for it", async () => {
  await using area = await useCache();
  const records = await load(area);
  const written = record("v1", "/a");
  const path = join(area.cache.layout.volumes, `${written.key}.json`);
  mkdirSync(join(path, "x"), { recursive: true });
  const draft = await records.draft();
  await records.put(written, { draft });
  assert.deepEqual([records.all().length, (await load(area)).get(written.key)?.volumeId], [1, "v1"]);
  const kept = readdirSync(area.cache.layout.tmp);
  assert.deepEqual([kept.length, kept[0]?.endsWith(`-${written.key}.json`)], [1, true], String(kept));
  assert.ok(area.lines.some((line) => line.includes("it is a folder")));
});

test("more records than are read at once are all read", async () => {
  await using area = await useCache();
  const written = await load(area);
  const ids = Array.from({ length: 40 }, (_, i) => `v${i}`);
  await Promise.all(ids.map((id) => written.put(record(id, "/a"))));
  const volumeIds = (await load(area)).all().map(({ volumeId }) => volumeId);
  assert.deepEqual(volumeIds.sort(), ids.sort());
});

test("a deleted record is gone from memory and disk, also one that never was", async () => {
  await using area = await useCache();
  const records = await load(area);
  const { key } = record("v1", "/a");
  await records.put(record("v1", "/a"));
  await records.delete(key);
  await records.delete(key);
  assert.equal(records.get(key), undefined);
  assert.deepEqual(readdirSync(area.cache.layout.volumes), []);
});

test("one volume id has a record for each target, and ids never become paths", async () => {
  await using area = await useCache();
  const records = await load(area);
  const ids = ["../../etc/x", "a/b", "[x]", "ID", "id", "é\n".repeat(40), "v\u0001"];
  for (const id of ids) for (const target of ["/a", "/b"]) await records.put(record(id, target));
  for (const id of ids)
    assert.deepEqual(
      (await load(area))
        .ofVolume(id)
        .map((one) => one.targetPath)
        .sort(),
      ["/a", "/b"],
    );
  assert.equal(readdirSync(area.cache.layout.volumes).length, 2 * ids.length);
  assert.ok(!existsSync(join(area.folder, "etc")));
});

test("the line between id and target cannot be moved", () => {
  assert.notEqual(volumeKeyOf("a", "/b/c"), volumeKeyOf("a/b", "/c"));
  assert.match(volumeKeyOf("a", "/b"), /^[0-9a-f]{64}$/);
});

const corrupt: readonly { name: string; text: string }[] = [
  { name: "empty", text: "" },
  { name: "no JSON", text: '{"volumeId":' },
  { name: "no object", text: "[]" },
  { name: "without a target", text: '{"volumeId":"v1"}' },
  {
    name: "with a tree that is no text",
    text: '{"volumeId":"v","targetPath":"/a","tree":1,"spec":"","namespace":"","reference":""}',
  },
  { name: "of another volume than its name says", text: JSON.stringify(record("v2", "/b")) },
];
for (const { name, text } of corrupt) {
  test(`a record that is ${name} is reported and put aside, the others are read`, async () => {
    await using area = await useCache();
    await (await load(area)).put(record("good", "/good"));
    const file = join(area.cache.layout.volumes, `${volumeKeyOf("v1", "/a")}.json`);
    writeFileSync(file, text);
    const records = await load(area);
    assert.equal(records.ofVolume("good").length, 1);
    assert.equal(records.get(volumeKeyOf("v1", "/a")), undefined);
    assert.equal(records.ofVolume("v2").length, 0);
    assert.ok(!existsSync(file));
    assert.ok(area.lines.some((line) => line.includes("corrupt") && line.includes(file)));
  });
}

test("unknown fields and other files are left alone", async () => {
  await using area = await useCache();
  const { volumes } = area.cache.layout;
  const { key } = record("v1", "/a");
  writeFileSync(join(volumes, `${key}.json`), JSON.stringify({ ...record("v1", "/a"), later: { a: 1 } }));
  for (const name of ["README", `.${key}.tmp`, "x.json"]) writeFileSync(join(volumes, name), "x");
  const records = await load(area);
  assert.deepEqual(records.get(key), record("v1", "/a"));
  await records.put({ ...record("v1", "/a"), pod: "thing-1" });
  const { pod, later } = JSON.parse(readFileSync(join(volumes, `${key}.json`), "utf8")) as Record<string, unknown>;
  assert.deepEqual([pod, later], ["thing-1", { a: 1 }], "what a newer driver wrote stays");
  assert.equal(readFileSync(join(volumes, "x.json"), "utf8"), "x");
  assert.equal(readdirSync(volumes).length, 4);
});
