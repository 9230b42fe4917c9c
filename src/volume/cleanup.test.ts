import assert from "node:assert/strict";
import { existsSync, readdirSync, renameSync } from "node:fs";
import { describe, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { useVolumes, type VolumeBench } from "../../test/helpers/volume-bench.ts";
import { ManualClock } from "../../test/registry-client/manual-clock.ts";
import { Cache } from "../cache/index.ts";

const REFERENCE = "ghcr.io/org/thing:v1";
const MINUTE_MS = 60_000;

/** Publishes a read-only volume with that cleanup, at a target of its own. */
async function publish(bench: VolumeBench, name: string, cleanup?: string): Promise<void> {
  const more = cleanup === undefined ? {} : { "oras.options.cleanup": cleanup };
  const volumeContext = { "oras.artifact.reference": REFERENCE, ...more };
  await bench.volumes.publish(bench.request({ ...idOf(bench, name), readOnly: true, volumeContext }));
}

function unpublish(bench: VolumeBench, name: string): Promise<void> {
  return bench.volumes.unpublish(idOf(bench, name));
}

function idOf(bench: VolumeBench, name: string) {
  return { volumeId: name, targetPath: `${bench.target}-${name}` };
}

/** Lets all that is due happen, then says whether the tree is there. */
async function isKept({ area, tree, clock }: VolumeBench): Promise<boolean> {
  clock.advance(0);
  // Whatever timers began comes before it.
  await area.cache.collector.usage();
  for (let i = 0; i < 20; i++) await setImmediate();
  await area.cache.collector.collect();
  return existsSync(tree.folder);
}

describe("the tree of a volume that is gone", () => {
  test("stays by default", async () => {
    await using bench = await useVolumes();
    await publish(bench, "a");
    await unpublish(bench, "a");
    assert.equal(await isKept(bench), true);
    assert.deepEqual(
      readdirSync(bench.area.cache.layout.trees).filter((name) => name.endsWith(".cleanup")),
      [],
    );
  });

  test("goes with it if it is to be deleted", async () => {
    await using bench = await useVolumes();
    await publish(bench, "a", "delete");
    assert.equal(await isKept(bench), true);
    await unpublish(bench, "a");
    assert.equal(await isKept(bench), false);
    assert.deepEqual(readdirSync(bench.area.cache.layout.trees), []);
  });

  test("goes when its time is up, and not before", async () => {
    await using bench = await useVolumes();
    await publish(bench, "a", "30m");
    bench.clock.advance(60 * MINUTE_MS);
    await unpublish(bench, "a");
    bench.clock.advance(29 * MINUTE_MS);
    assert.equal(await isKept(bench), true);
    bench.clock.advance(MINUTE_MS);
    assert.equal(await isKept(bench), false);
  });

  test("goes when its time is up though a volume whose wish could not be noted wanted it before", async (t) => {
    await using bench = await useVolumes();
    const { state } = bench.area.cache.dataDir;
    const noWrite = t.mock.method(state, "write", () => Promise.reject(new Error("no write")));
    await assert.rejects(publish(bench, "a", "30m"), /no write/);
    noWrite.mock.restore();
    await publish(bench, "b", "30m");
    await unpublish(bench, "b");
    bench.clock.advance(30 * MINUTE_MS);
    assert.equal(await isKept(bench), false);
  });

  test("a wish that could not be noted at first is noted in the end", async (t) => {
    await using bench = await useVolumes();
    const { state } = bench.area.cache.dataDir;
    const noWrite = t.mock.method(state, "write", () => Promise.reject(new Error("no write")));
    await assert.rejects(publish(bench, "a", "30m"), /no write/);
    noWrite.mock.restore();
    await publish(bench, "a", "30m");
    assert.ok(existsSync(bench.area.cache.layout.treeCleanup(bench.tree.id)));
  });

  test("stays while it is pinned", async () => {
    await using bench = await useVolumes();
    const { pins } = bench.area.cache;
    await publish(bench, "a", "delete");
    await pins.pin(bench.tree.id);
    await unpublish(bench, "a");
    assert.equal(await isKept(bench), true);
    await pins.unpin(bench.tree.id);
    assert.equal(await isKept(bench), false);
  });
});

describe("the most patient of the volumes that a tree had together decides", () => {
  const rows: readonly { readonly cleanups: readonly (string | undefined)[]; readonly keptMinutes: number }[] = [
    { cleanups: ["delete", "10m"], keptMinutes: 10 },
    { cleanups: ["10m", "delete"], keptMinutes: 10 },
    { cleanups: ["10m", "20m", "5m"], keptMinutes: 20 },
    { cleanups: ["delete", "delete"], keptMinutes: 0 },
    { cleanups: ["delete", undefined], keptMinutes: Number.POSITIVE_INFINITY },
    { cleanups: ["retain", "delete", "10m"], keptMinutes: Number.POSITIVE_INFINITY },
  ];
  for (const { cleanups, keptMinutes } of rows) {
    for (const order of ["first in, first out", "last in, first out"]) {
      test(`${cleanups.map((cleanup) => cleanup ?? "nothing said").join(", ")}; ${order}`, async () => {
        await using bench = await useVolumes();
        const names = cleanups.map((_, i) => `v${i}`);
        for (const [i, name] of names.entries()) await publish(bench, name, cleanups[i]);
        for (const name of order.startsWith("last") ? names.toReversed() : names) await unpublish(bench, name);
        if (keptMinutes > 0) assert.equal(await isKept(bench), true);
        bench.clock.advance(Math.min(keptMinutes, 1000) * MINUTE_MS);
        assert.equal(await isKept(bench), keptMinutes === Number.POSITIVE_INFINITY);
      });
    }
  }

  test("of those alone that came since it last had none", async () => {
    await using bench = await useVolumes();
    await publish(bench, "patient", "60m");
    await unpublish(bench, "patient");
    bench.clock.advance(MINUTE_MS);
    await publish(bench, "hasty", "delete");
    await unpublish(bench, "hasty");
    assert.equal(await isKept(bench), false);
  });
});

describe("after a restart", () => {
  test("what was asked for holds, and the time goes on", async () => {
    await using bench = await useVolumes();
    await publish(bench, "a", "30m");
    await unpublish(bench, "a");
    await using next = await restarted(bench);
    assert.equal(await isKept(next), true);
    next.clock.advance(30 * MINUTE_MS);
    assert.equal(await isKept(next), false);
  });

  test("the patience of volumes that are gone counts with those that are still there", async () => {
    await using bench = await useVolumes();
    await publish(bench, "patient", "30m");
    await publish(bench, "hasty", "delete");
    await unpublish(bench, "patient");
    await using next = await restarted(bench);
    await publish(next, "hasty too", "delete");
    await unpublish(next, "hasty");
    await unpublish(next, "hasty too");
    assert.equal(await isKept(next), true);
    next.clock.advance(30 * MINUTE_MS);
    assert.equal(await isKept(next), false);
  });

  test("volumes that went without a word have gone now", async () => {
    await using bench = await useVolumes();
    const { layout } = bench.area.cache;
    await publish(bench, "a", "30m");
    for (const name of readdirSync(layout.volumes)) renameSync(`${layout.volumes}/${name}`, `${layout.tmp}/${name}`);
    await using next = await restarted(bench);
    assert.equal(await isKept(next), true);
    next.clock.advance(30 * MINUTE_MS);
    assert.equal(await isKept(next), false);
  });
});

/** The bench with a cache of its own on the same data dir, as after a kill. */
async function restarted(bench: VolumeBench): Promise<VolumeBench & AsyncDisposable> {
  const clock = new ManualClock();
  clock.advance(bench.clock.monotonicMs() - clock.monotonicMs());
  const { dataDir, log } = bench.area;
  const cache = await Cache.open({ dataDir, syncFileSystem: () => Promise.resolve(), clock, log });
  const next = { ...bench, clock, area: { ...bench.area, cache } };
  next.volumes = await bench.openOn(cache, clock);
  return Object.assign(next, { [Symbol.asyncDispose]: () => cache.close() });
}
