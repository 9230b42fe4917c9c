import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { useDataDir } from "../../test/helpers/data-dir.ts";
import { useLog } from "../../test/helpers/log-lines.ts";
import type { Clock } from "../base/index.ts";
import { digestOf } from "../oci/index.ts";
import { Cache } from "./cache.ts";
import type { TreeId } from "./layout.ts";
import { defaultCacheLimits } from "./limits.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const TTL_MS = 7 * DAY_MS;

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

  const time = { wallMs: area.clock.now() + 1_000 * DAY_MS, steadyMs: 20_000 };
  const pass = (ms: number) => {
    time.wallMs += ms;
    time.steadyMs += ms;
  };
  const clock: Clock = { now: () => time.wallMs, monotonicMs: () => time.steadyMs, after: () => () => undefined };
  const limits = { ...defaultCacheLimits, highPercent: 99, lowPercent: 98, ttlMs: TTL_MS };
  const cache = await Cache.open({
    dataDir: area.path,
    syncFileSystem: () => Promise.resolve(),
    limits,
    clock,
    log: useLog().log,
  });
  t.after(() => cache.close());
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
  time.wallMs -= 1_000 * DAY_MS;
  pass(30 * MINUTE_MS);
  assert.deepEqual(await left(), [kept, short]);
  pass(30 * MINUTE_MS);
  assert.deepEqual(await left(), [kept]);
  pass(TTL_MS);
  assert.deepEqual(await left(), []);
});
