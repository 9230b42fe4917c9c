import assert from "node:assert/strict";
import { existsSync, mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type TestDataDir, useDataDir } from "../../test/helpers/data-dir.ts";
import type { Clock } from "../base/index.ts";
import { digestOf } from "../oci/index.ts";
import { Cache } from "./cache.ts";
import type { TreeId } from "./layout.ts";
import { defaultCacheLimits } from "./limits.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const TTL_MS = 7 * DAY_MS;

/** Opens the cache of a data dir whose trees go by their age. */
async function openCache(t: TestContext, area: TestDataDir, clock: Clock): Promise<Cache> {
  const limits = { ...defaultCacheLimits, highPercent: 99, lowPercent: 98, ttlMs: TTL_MS };
  const syncFileSystem = () => Promise.resolve();
  const cache = await Cache.open({ dataDir: area.path, syncFileSystem, limits, clock, log: area.log });
  t.after(() => cache.close());
  return cache;
}

/** Makes an empty tree. */
async function makeTree(cache: Cache, name: string): Promise<TreeId> {
  const id = digestOf(Buffer.from(name)).slice("sha256:".length) as TreeId;
  await cache.withStaging(async (staging) => {
    const folder = join(staging, "tree");
    mkdirSync(folder);
    await cache.commitTree(id, folder, { manifest: digestOf(Buffer.from(id)), bytes: 0, inodes: 1, layers: [] });
  });
  return id;
}

/** A clock of a node that is up for so long, whose wall time can be set. */
function useNodeClock(wallMs: number, steadyMs: number) {
  const time = { wallMs, steadyMs };
  const clock: Clock = { now: () => time.wallMs, monotonicMs: () => time.steadyMs, after: () => () => undefined };
  return {
    clock,
    pass(ms: number) {
      time.wallMs += ms;
      time.steadyMs += ms;
    },
    jump(ms: number) {
      time.wallMs += ms;
    },
  };
}

test("a clock that is set ahead makes nothing go by its age, while the driver runs and when it starts anew", async (t) => {
  const area = useDataDir(t);
  const { clock, pass, jump } = useNodeClock(area.clock.now(), DAY_MS);
  const open = () => openCache(t, area, clock);
  const first = await open();
  const [kept, short] = [await makeTree(first, "kept"), await makeTree(first, "kept for an hour after its volumes")];
  await first.cleanups.begin(short, "volume", 60 * MINUTE_MS);
  await first.cleanups.end(short, "volume");
  const partial = first.layout.ingestFile(digestOf(Buffer.from("half")), "http registry/team/thing");
  writeFileSync(partial, "half");
  for (const path of [partial, first.layout.treeRecord(kept)]) utimesSync(path, clock.now() / 1000, clock.now() / 1000);
  const left = async (cache: Cache) => {
    await cache.collector.collect();
    return [[kept, short].filter((id) => cache.inventory.has(id)), existsSync(partial)];
  };
  pass(30 * MINUTE_MS);
  assert.deepEqual(await left(first), [[kept, short], true]);
  jump(1_000 * DAY_MS);
  assert.deepEqual(await left(first), [[kept, short], true]);
  await first.close();

  const second = await open();
  assert.deepEqual(await left(second), [[kept, short], true]);
  pass(29 * MINUTE_MS);
  assert.deepEqual(await left(second), [[kept, short], true]);
  pass(MINUTE_MS);
  assert.deepEqual(await left(second), [[kept], true]);
  pass(23 * 60 * MINUTE_MS);
  assert.deepEqual(await left(second), [[kept], false]);
  pass(6 * DAY_MS);
  assert.deepEqual(await left(second), [[], false]);
});

test("after a node's start nothing goes by its age until the clock had time to be set", async (t) => {
  const area = useDataDir(t);
  const before = await area.open();
  const kept = await makeTree(before, "kept");
  const short = await makeTree(before, "kept for an hour after its volumes");
  for (const id of [kept, short]) {
    before.inventory.touch(id);
    area.clock.advance(1000);
  }
  await before.cleanups.begin(short, "volume", 60 * MINUTE_MS);
  await before.cleanups.end(short, "volume");
  await before.close();

  const { clock, pass, jump } = useNodeClock(area.clock.now() + 1_000 * DAY_MS, 20_000);
  const cache = await openCache(t, area, clock);
  const left = async () => {
    await cache.collector.collect();
    return [kept, short].filter((id) => cache.inventory.has(id));
  };
  assert.deepEqual(await left(), [kept, short]);
  pass(9 * MINUTE_MS);
  assert.deepEqual(await left(), [kept, short]);
  assert.deepEqual(
    cache.inventory.byLastUse().map(({ id }) => id),
    [kept, short],
    "what was used first goes first, where room is needed",
  );
  // The clock is set.
  jump(-1_000 * DAY_MS);
  pass(30 * MINUTE_MS);
  assert.deepEqual(await left(), [kept, short]);
  pass(30 * MINUTE_MS);
  assert.deepEqual(await left(), [kept]);
  pass(TTL_MS);
  assert.deepEqual(await left(), []);
});
