import assert from "node:assert/strict";
import { promises as fs, mkdirSync, readdirSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { useDataDir } from "../../test/helpers/data-dir.ts";
import { digestOf } from "../oci/index.ts";
import { Cache } from "./cache.ts";
import type { TreeId } from "./layout.ts";

const bytes = Buffer.from("layer");
const descriptor = { digest: digestOf(bytes), size: bytes.byteLength };

test("work has a folder of its own while it runs, closed to others", async (t) => {
  const { layout, withStaging, sweeper } = await bound(t);
  const seen: string[] = [];
  const work = (result: string) => async (folder: string) => {
    seen.push(folder);
    assert.equal(join(folder, ".."), layout.tmp);
    assert.deepEqual([readdirSync(folder), statSync(folder).mode & 0o777], [[], 0o700]);
    mkdirSync(join(folder, "half/made"), { recursive: true });
    return result;
  };
  assert.deepEqual(await Promise.all([withStaging(work("a")), withStaging(work("b"))]), ["a", "b"]);
  assert.equal(new Set(seen).size, 2);
  await sweeper.idle();
  assert.deepEqual(readdirSync(layout.tmp), []);
});

test("what failing work leaves goes, and its failure is told", async (t) => {
  const { layout, withStaging, sweeper } = await bound(t);
  const failing = withStaging(async (folder) => {
    writeFileSync(join(folder, "file"), "x");
    throw new Error("failed");
  });
  await assert.rejects(failing, /failed/);
  await sweeper.idle();
  assert.deepEqual(readdirSync(layout.tmp), []);
});

test("work may take its folder away", async (t) => {
  const { layout, withStaging } = await bound(t);
  await withStaging(async (folder) => renameSync(folder, join(layout.trees, "moved")));
  assert.deepEqual(readdirSync(layout.trees), ["moved"]);
});

test("what a killed run staged is gone after the next start", async (t) => {
  const area = useDataDir(t);
  const first = await area.open();
  const never = new Promise<never>(() => undefined);
  const staged = Promise.withResolvers<void>();
  void first.withStaging(async (folder) => {
    mkdirSync(join(folder, "tree/sub"), { recursive: true });
    staged.resolve();
    return never;
  });
  await staged.promise;
  assert.equal(readdirSync(first.layout.tmp).length, 1);
  await area.open();
  assert.deepEqual(readdirSync(first.layout.tmp), []);
});

for (const isDurable of [true, false]) {
  test(`of a cache that is ${isDurable ? "kept" : "thrown away"}, ${isDurable ? "much" : "nothing"} is synced`, async (t) => {
    const { path: dataDir, clock, log } = useDataDir(t);
    const syncFileSystem = isDurable ? async () => undefined : undefined;
    const file = await fs.open(import.meta.filename);
    const sync = t.mock.method(Object.getPrototypeOf(file), "sync");
    await file.close();
    const cache = await Cache.open({ dataDir, syncFileSystem, clock, log });
    await cache.blobs.put(descriptor.digest, bytes);
    await cache.withStaging(async (staging) => {
      const staged = { digest: descriptor.digest, way: "artifact", use: { bytes: 0, inodes: 1 } } as const;
      mkdirSync(join(staging, "layer"));
      writeFileSync(join(staging, "index"), "");
      await cache.commitLayer({ ...staged, folder: join(staging, "layer"), indexFile: join(staging, "index") });
      mkdirSync(join(staging, "tree"));
      const facts = { manifest: descriptor.digest, bytes: 0, inodes: 1, layers: [] };
      await cache.commitTree("0".repeat(64) as TreeId, join(staging, "tree"), facts);
    });
    await cache.close();
    assert.equal(sync.mock.callCount() > 0, isDurable);
  });
}

test("a tree is kept from being evicted until it is committed", async (t) => {
  const cache = await useDataDir(t).open();
  const id = "1".repeat(64) as TreeId;
  const facts = { manifest: descriptor.digest, bytes: 0, inodes: 1, layers: [] };
  const held: number[] = [];
  const mend = async () => void held.push(cache.leases.count(id));
  await cache.withStaging(async (staging) => {
    for (const name of ["first", "again"]) {
      const folder = join(staging, name);
      mkdirSync(folder);
      await cache.commitTree(id, folder, facts, mend);
      await cache.trees.markDamaged(id, "wrong bytes");
    }
  });
  assert.deepEqual(held, [1]);
});

test("content is there as a file or as a folder, not as the other", async (t) => {
  const cache = await useDataDir(t).open();
  const { layout, blobs } = cache;
  const there = () => Promise.all((["blob", "artifact"] as const).map((kind) => cache.hasContent(descriptor, kind)));
  assert.deepEqual(await there(), [false, false]);
  await blobs.put(descriptor.digest, bytes);
  assert.deepEqual(await there(), [true, false]);
  mkdirSync(layout.layerFolder(descriptor.digest, "artifact"));
  assert.deepEqual(await there(), [true, false]);
  writeFileSync(layout.layerIndex(descriptor.digest, "artifact"), "");
  assert.deepEqual(await there(), [true, true]);
  assert.equal(await cache.hasContent({ ...descriptor, size: 1 }, "blob"), false);
});

test("all parts work on one data dir", async (t) => {
  const area = useDataDir(t);
  const cache = await area.open();
  assert.equal(cache.layout.dataDir, area.path);
  assert.equal(cache.dataDir.layout, cache.layout);
});

async function bound(t: Parameters<typeof useDataDir>[0]) {
  const cache = await useDataDir(t).open();
  return { layout: cache.layout, sweeper: cache.sweeper, withStaging: cache.withStaging.bind(cache) };
}
