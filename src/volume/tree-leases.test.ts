import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { makeTree, useVolumes } from "../../test/helpers/volume-bench.ts";
import { DriverError } from "../base/index.ts";
import { Cache, defaultCacheLimits } from "../cache/index.ts";
import { digestOf } from "../oci/index.ts";
import { volumeKeyOf } from "./records.ts";

test("a published volume keeps its tree, also after a restart, until it is unpublished", async () => {
  await using bench = await useVolumes();
  const { tree, area, target } = bench;
  const { collector } = area.cache;
  await bench.volumes.publish(bench.request());
  assert.equal((await collector.evict(tree.id, "removed")).outcome, "leased");
  await bench.restart();
  assert.equal((await collector.prune()).trees, 0);
  assert.equal(existsSync(tree.folder), true);
  await bench.volumes.unpublish({ volumeId: "csi-1", targetPath: target });
  // The first run of the driver, which in truth is over, still holds its own.
  assert.equal(area.cache.leases.count(tree.id), 1);
});

test("a publish that failed keeps nothing", async () => {
  await using bench = await useVolumes();
  const { tree, area, mounter } = bench;
  mounter.bind = () => Promise.reject(new Error("no mount"));
  await assert.rejects(bench.volumes.publish(bench.request({ readOnly: true })));
  assert.equal(area.cache.leases.count(tree.id), 0);
  assert.equal((await area.cache.collector.evict(tree.id, "removed")).outcome, "evicted");
});

test("a publish that cannot look whether its tree is still there keeps nothing", async (t) => {
  await using bench = await useVolumes();
  const { tree, area } = bench;
  t.mock.method(area.cache.trees, "isThere", () => Promise.reject(new Error("no look")), { times: 1 });
  await assert.rejects(bench.volumes.publish(bench.request()), /no look/);
  assert.equal(area.cache.leases.count(tree.id), 0);
});

test("a tree that is evicted between its making and its lease is made once more", async () => {
  await using bench = await useVolumes();
  const { tree, area, artifacts } = bench;
  let made = 0;
  artifacts.onPresent = async () => {
    const found = (await area.cache.trees.find(tree.id)) ?? (await makeTree(area.cache, tree.id));
    if (++made === 1) await area.cache.collector.evict(tree.id, "pull");
    return found;
  };
  assert.equal(await bench.volumes.publish(bench.request({ readOnly: true })), "published");
  assert.deepEqual([made, existsSync(tree.folder)], [2, true]);
});

test("publishes and evictions that race never mount a tree that goes", async () => {
  await using bench = await useVolumes();
  const { tree, area, artifacts, volumes } = bench;
  artifacts.onPresent = async () => (await area.cache.trees.find(tree.id)) ?? makeTree(area.cache, tree.id);
  const targets = Array.from({ length: 20 }, (_, i) => `${bench.target}-${i}`);
  for (const targetPath of targets) {
    const [, { outcome }] = await Promise.all([
      volumes.publish(bench.request({ readOnly: true, targetPath })),
      area.cache.collector.evict(tree.id, "pull"),
    ]);
    assert.equal(existsSync(tree.folder), true, `the tree is gone (${outcome})`);
    await volumes.unpublish({ volumeId: "csi-1", targetPath });
  }
});

test("the node's mount limit is no full disk: nothing is evicted for it", async () => {
  await using bench = await useVolumes();
  const { area, mounter, tree } = bench;
  const unused = await makeTree(area.cache, "2".repeat(64));
  const says = "the node's mount limit is reached: raise sysctl fs.mount-max";
  mounter.bind = () => Promise.reject(new DriverError("no-space", says));
  await assert.rejects(bench.volumes.publish(bench.request({ readOnly: true })), { kind: "no-space", message: says });
  assert.deepEqual([existsSync(unused.folder), existsSync(tree.folder)], [true, true]);
});

test("a cache that is above its high mark, and of which nothing can go, is a degraded storage", async () => {
  await using bench = await useVolumes();
  const { area, target, volumes } = bench;
  assert.deepEqual(await volumes.storageHealth(), []);
  const full = { highPercent: 0.001, lowPercent: 0.0005, minPercent: 0.0001 };
  const { dataDir, log } = area;
  const limits = { ...defaultCacheLimits, ...full };
  const cache = await Cache.open({ dataDir, limits, syncFileSystem: () => Promise.resolve(), clock: bench.clock, log });
  const onFull = await bench.openOn(cache, bench.clock);
  await onFull.publish(bench.request({ readOnly: true }));
  assert.deepEqual(await onFull.storageHealth(), [], "what is empty is not full");
  const bytes = Buffer.from("a manifest, which stays for a day");
  await cache.blobs.put(digestOf(bytes), bytes);
  bench.clock.advance(10_000);
  const [entry, ...more] = await onFull.storageHealth();
  assert.deepEqual([entry?.status, entry?.reason, more], ["degraded", "CacheAboveHighMark", []]);
  assert.match(entry?.message ?? "", /^\d+ % of the bytes of its file system are used, the high mark is 0\.001 %; /);
  assert.equal(existsSync(target), true);
  await cache.close();
});

test("what pods wrote counts in the cache, until their volume is gone", async () => {
  await using bench = await useVolumes();
  const { area, volumes, target } = bench;
  const { collector, layout } = area.cache;
  await volumes.publish(bench.request({ readOnly: false }));
  const upper = join(layout.volumes, volumeKeyOf("csi-1", target), "upper");
  writeFileSync(join(upper, "written"), Buffer.alloc(100_000, "x"));
  while ((await collector.usage()).uppers.bytes < 100_000) await setImmediate();
  const { uppers, total } = await collector.usage();
  assert.deepEqual([uppers.inodes, total.bytes], [1, uppers.bytes]);
  await volumes.unpublish({ volumeId: "csi-1", targetPath: target });
  assert.equal((await collector.usage()).uppers.bytes, 0);
});
