import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setImmediate } from "node:timers/promises";
import { useDataDir } from "../../test/helpers/data-dir.ts";
import { useSmallDisk, whyNoSmallDisk } from "../../test/helpers/small-disk.ts";
import { DriverError } from "../base/index.ts";
import { digestOf } from "../oci/index.ts";
import { defaultCacheLimits } from "./limits.ts";

const MIB = 1024 * 1024;

/** A cache that may have 10 MiB, on a disk whose own marks are out of the way. */
async function open(t: TestContext) {
  const area = useDataDir(t);
  const limits = { ...defaultCacheLimits, maxBytes: 10 * MIB, highPercent: 99.9, lowPercent: 99.8 };
  const cache = await area.open({ limits });
  const reserve = (bytes: number) => cache.room.reserve(async () => ({ bytes, inodes: 1 }));
  return { area, cache, room: cache.room, reserve };
}

test("what fits, fits; what does not is told with figures", async (t) => {
  const { room, reserve } = await open(t);
  {
    using whole = await reserve(10 * MIB);
    assert.equal(await room.make(whole), undefined);
  }
  using larger = await reserve(11 * MIB);
  const shortage = await room.make(larger);
  assert.deepEqual(shortage, { of: "max-bytes", needed: 11 * MIB, available: 10 * MIB, total: 10 * MIB });
});

test("what is larger than the disk is short of bytes", async (t) => {
  const { cache, room } = await open(t);
  const { totalBytes } = await room.space();
  using larger = await cache.room.reserve(async () => ({ bytes: totalBytes * 2, inodes: 1 }));
  const shortage = await room.make(larger);
  assert.deepEqual([shortage?.of, shortage?.total], ["bytes", totalBytes]);
});

test("what others reserved is taken, until they are done", async (t) => {
  const { room, reserve } = await open(t);
  const first = await reserve(6 * MIB);
  using second = await reserve(6 * MIB);
  let made: unknown = "not yet";
  const making = room.make(second).then((shortage) => {
    made = shortage;
  });
  for (let i = 0; i < 100; i++) await setImmediate();
  assert.equal(made, "not yet");
  first[Symbol.dispose]();
  await making;
  assert.equal(made, undefined);
});

test("of two that reserve at once and do not fit together, the first one goes on", async (t) => {
  const { room, reserve } = await open(t);
  const first = await reserve(6 * MIB);
  using second = await reserve(6 * MIB);
  let made: unknown = "not yet";
  const making = room.make(second).then((shortage) => {
    made = shortage;
  });
  assert.equal(await room.make(first), undefined);
  for (let i = 0; i < 100; i++) await setImmediate();
  assert.equal(made, "not yet");
  first[Symbol.dispose]();
  await making;
  assert.equal(made, undefined);
});

test("what a pull has written meanwhile does not count twice", async (t) => {
  const { cache, room } = await open(t);
  const bytes = randomBytes(6 * MIB);
  let left = 6 * MIB;
  using other = await cache.room.reserve(async () => ({ bytes: left, inodes: 1 }));
  await cache.blobs.put(digestOf(bytes), bytes);
  left = 0;
  using lease = await cache.leases.hold(digestOf(bytes));
  using second = await cache.room.reserve(async () => ({ bytes: 4 * MIB, inodes: 1 }));
  assert.equal(await room.make(second), undefined);
  assert.equal(other.left.bytes, 0);
  lease.release();
});

test("what others write while a pull looks whether all fits may go, too", async (t) => {
  const { cache, room } = await open(t);
  const put = async () => {
    const bytes = randomBytes(6 * MIB);
    await cache.blobs.put(digestOf(bytes), bytes);
  };
  await put();
  await put();
  const reduce = cache.collector.reduce.bind(cache.collector);
  let others = 3;
  t.mock.method(cache.collector, "reduce", async (...args: Parameters<typeof reduce>) => {
    const gone = await reduce(...args);
    if (others-- > 0) {
      await put();
      await put();
    }
    return gone;
  });
  assert.equal(await room.settle(), undefined);
});

test("a pull whose bytes fit once another one is done waits for that", async (t) => {
  const { cache, room, reserve } = await open(t);
  const bytes = randomBytes(11 * MIB);
  await cache.blobs.put(digestOf(bytes), bytes);
  const lease = await cache.leases.hold(digestOf(bytes));
  using _ = await reserve(0);
  const other = await reserve(0);
  const reduce = cache.collector.reduce.bind(cache.collector);
  let reduced = 0;
  t.mock.method(cache.collector, "reduce", async (...args: Parameters<typeof reduce>) => {
    const gone = await reduce(...args);
    reduced++;
    return gone;
  });
  let settled: unknown = "not yet";
  const settling = room.settle().then((shortage) => {
    settled = shortage;
  });
  while (reduced === 0) await setImmediate();
  for (let i = 0; i < 5; i++) await cache.collector.usage();
  assert.equal(settled, "not yet");
  lease.release();
  other[Symbol.dispose]();
  await settling;
  assert.equal(settled, undefined);
});

test("a small file that a full disk does not take is written after something went, if anything can go", async (t) => {
  const { cache, room } = await open(t);
  const bytes = randomBytes(5 * MIB);
  await cache.blobs.put(digestOf(bytes), bytes);
  const full = Object.assign(new Error("no space"), { code: "ENOSPC" });
  let tries = 0;
  const write = async () => {
    if (++tries === 1) throw full;
    return tries;
  };
  assert.equal(await room.write(write), 2);
  tries = 0;
  await assert.rejects(room.write(write), full);
  await assert.rejects(
    room.write(() => Promise.reject(new Error("another"))),
    /another/,
  );
  await cache.blobs.put(digestOf(bytes), bytes);
  tries = 0;
  const told = new DriverError("no-space", "the node's disk is full");
  assert.equal(await room.write(async () => (++tries === 1 ? Promise.reject(told) : tries)), 2);
});

test("what others took from the cache since a disk was written to is room, though nothing more can go", async (t) => {
  const { cache, room } = await open(t);
  const put = async () => {
    const bytes = randomBytes(MIB);
    await cache.blobs.put(digestOf(bytes), bytes);
  };
  await put();
  const since = room.timesTaken;
  await cache.collector.reduce("pull", async () => ({ bytes: Number.POSITIVE_INFINITY, inodes: 0 }));
  assert.equal(await room.free({ bytes: MIB, inodes: 0 }, since), true);
  assert.equal(await room.free({ bytes: MIB, inodes: 0 }, room.timesTaken), false);
  let tries = 0;
  const write = async () => {
    if (++tries > 1) return tries;
    await put();
    await cache.collector.prune();
    throw Object.assign(new Error("no space"), { code: "ENOSPC" });
  };
  assert.equal(await room.write(write), 2);
});

test("what a failed pull leaves is no room that was made, though it is deleted meanwhile", {
  skip: whyNoSmallDisk(),
}, async (t) => {
  using disk = useSmallDisk({ type: "ext4", sizeBytes: 64 * MIB });
  const area = useDataDir(t, { path: join(disk.path, "data") });
  const cache = await area.open({ limits: { ...defaultCacheLimits, highPercent: 99.9, lowPercent: 99.8 } });
  const bytes = randomBytes(MIB);
  await cache.blobs.put(digestOf(bytes), bytes);
  const left = join(cache.layout.tmp, "left");
  writeFileSync(left, Buffer.alloc(20 * MIB));
  await cache.sweeper.discard(left);
  // Another collection has its turn first.
  const reduce = cache.collector.reduce.bind(cache.collector);
  t.mock.method(cache.collector, "reduce", async (...args: Parameters<typeof reduce>) => {
    await cache.sweeper.idle();
    return reduce(...args);
  });
  assert.equal(await cache.room.free({ bytes: 10 * MIB, inodes: 0 }, cache.room.timesTaken), true);
  assert.equal(existsSync(cache.layout.blob(digestOf(bytes))), false);
  await cache.close();
});
