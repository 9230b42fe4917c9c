import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import {
  DAY_MS,
  MIB,
  makeLargeTree,
  makeTree,
  openLimited,
  putBlob,
  stored,
} from "../../test/helpers/stocked-cache.ts";
import { digestOf, parseReference } from "../oci/index.ts";
import type { Cache } from "./cache.ts";

describe("evicting one tree", () => {
  test("its folder, record and what only it is made of go; what another tree shares stays", async (t) => {
    const { cache } = await openLimited(t);
    const shared = await putBlob(cache, 100);
    const own = await putBlob(cache, 5 * MIB);
    const first = await makeTree(cache, "first", [shared, own, own]);
    const second = await makeTree(cache, "second", [shared]);
    const { outcome, freed } = await cache.collector.evict(first, "removed");
    assert.equal(outcome, "evicted");
    assert.ok(freed.bytes >= 5 * MIB && freed.bytes < 6 * MIB, String(freed.bytes));
    assert.deepEqual(await stored(cache), { trees: [second], records: [`${second}.json`], blobs: 2, tmp: [] });
    assert.equal(existsSync(cache.layout.blob(own)), false);
    assert.equal((await cache.collector.evict(second, "removed")).outcome, "evicted");
    assert.deepEqual(await stored(cache), { trees: [], records: [], blobs: 0, tmp: [] });
    assert.equal((await cache.collector.evict(second, "removed")).outcome, "unknown");
  });

  test("unpacked layers go with it, in both ways of unpacking, with their indexes", async (t) => {
    const { cache } = await openLimited(t);
    const digest = digestOf(Buffer.from("a tar"));
    for (const way of ["artifact", "image"] as const) {
      await cache.withStaging(async (staging) => {
        const [folder, indexFile] = [join(staging, "layer"), join(staging, "index")];
        mkdirSync(join(folder, "sub"), { recursive: true });
        writeFileSync(join(folder, "sub/file"), randomBytes(MIB));
        writeFileSync(indexFile, "index");
        await cache.commitLayer({ digest, way, folder, indexFile });
      });
    }
    const id = await makeTree(cache, "tars", []);
    const withLayers = await makeTree(cache, "with layers", []);
    cache.inventory.add({ id: withLayers, manifest: digest, bytes: 1, inodes: 1, layers: [digest] });
    assert.ok((await cache.collector.usage()).layers.bytes >= 2 * MIB);
    const { freed } = await cache.collector.evict(withLayers, "removed");
    assert.ok(freed.bytes >= 2 * MIB, String(freed.bytes));
    assert.deepEqual(readdirSync(join(cache.layout.layers, "sha256")), []);
    assert.equal(existsSync(cache.layout.treeFolder(id)), true);
  });

  test("a lease keeps it; after a restart records do the same", async (t) => {
    const { cache } = await openLimited(t);
    const id = await makeLargeTree(cache, "leased");
    const lease = await cache.leases.hold(id);
    assert.equal((await cache.collector.evict(id, "removed")).outcome, "leased");
    assert.equal((await cache.collector.prune()).trees, 0);
    lease.release();
    assert.equal((await cache.collector.prune()).trees, 1);
  });

  test("a pin keeps it, also after a restart, until it is taken away", async (t) => {
    const { area, cache } = await openLimited(t);
    const id = await makeLargeTree(cache, "pinned");
    await cache.pins.pin(id);
    await cache.close();
    const next = await area.open();
    assert.equal((await next.collector.evict(id, "removed")).outcome, "pinned");
    assert.equal((await next.collector.prune()).trees, 0);
    await next.pins.unpin(id);
    await next.pins.unpin(id);
    await next.close();
    const last = await area.open();
    assert.equal((await last.collector.evict(id, "removed")).outcome, "evicted");
  });

  test("what an interrupted eviction left goes at the next start, unless a volume shows it", async (t) => {
    const { area, cache } = await openLimited(t);
    const [gone, shown] = [await makeLargeTree(cache, "gone"), await makeLargeTree(cache, "shown")];
    for (const id of [gone, shown]) rmSync(cache.layout.treeRecord(id));
    await cache.close();
    const next = await area.open();
    using _ = await next.leases.hold(shown);
    await next.collector.collect();
    assert.deepEqual((await stored(next)).trees, [shown]);
  });
});

test("it collects by the clock, ten seconds after the start and then each minute", async (t) => {
  const { area, cache } = await openLimited(t, { ttlMs: 65_000 });
  cache.collector.start();
  assert.equal(area.clock.pending, 1);
  assert.equal(bytesOf(cache), 0);
  const id = await makeLargeTree(cache, "tree");
  const pass = async (byMs: number) => {
    area.clock.advance(byMs);
    // The timer is set anew when a collection has ended.
    while (area.clock.pending === 0) await setImmediate();
  };
  await pass(10_000);
  assert.ok(bytesOf(cache) >= MIB);
  assert.equal(cache.inventory.has(id), true);
  await pass(60_000);
  assert.equal(cache.inventory.has(id), false);
});

test("a cache that is too full, and of which nothing can go, says so until it is not", async (t) => {
  const { cache } = await openLimited(t, { maxBytes: MIB });
  const id = await makeLargeTree(cache, "tree", 2 * MIB);
  {
    using _ = await cache.leases.hold(id);
    await cache.collector.collect();
    assert.equal(cache.collector.fullness?.by, "max-bytes");
  }
  await cache.collector.collect();
  assert.equal(cache.collector.fullness, undefined);
});

describe("what goes with a tree", () => {
  test("the links that name it, and no other", async (t) => {
    const { cache } = await openLimited(t);
    const [gone, kept] = [await makeLargeTree(cache, "gone"), await makeLargeTree(cache, "kept")];
    const named = (tag: string) => parseReference(`ghcr.io/org/thing:${tag}`);
    await cache.names.link("blue", named("gone"), gone);
    await cache.names.link("red", named("gone"), gone);
    await cache.names.link("red", named("kept"), kept);
    const other = join(cache.layout.names, "red", "other");
    symlinkSync("/nowhere", other);
    await cache.collector.evict(gone, "removed");
    const links = (namespace: string) => readdirSync(join(cache.layout.names, namespace)).sort();
    assert.deepEqual([links("blue"), links("red")], [[], ["ghcr-io-org-thing-kept", "other"]]);
  });

  test("what registries told of it, a day later; what they told of the rest stays", async (t) => {
    const { area, cache } = await openLimited(t);
    const [gone, kept] = [await makeLargeTree(cache, "gone"), await makeLargeTree(cache, "kept")];
    const [first, second] = ["first", "second"].map((repository) => {
      return { registry: "ghcr.io", repository, transport: "https" };
    });
    assert.ok(first !== undefined && second !== undefined);
    const { references } = cache;
    for (const [repository, id] of [
      [first, gone],
      [second, kept],
      [second, gone],
    ] as const) {
      const manifest = cache.inventory.get(id)?.manifest ?? assert.fail();
      await references.rememberGiven(repository, id);
      await references.rememberGiven(repository, manifest);
      await references.rememberTag(repository, id.slice(0, 5), manifest);
      await references.allow(repository, "blue");
    }
    for (const path of filesBelow(cache.layout.references)) {
      utimesSync(path, area.clock.now() / 1000, area.clock.now() / 1000);
    }
    await cache.collector.evict(gone, "removed");
    area.clock.advance(DAY_MS - 1);
    await cache.collector.collect();
    assert.equal(await references.wasGiven(first, gone), true);
    area.clock.advance(DAY_MS);
    await cache.collector.collect();
    assert.equal(readdirSync(cache.layout.references).length, 1);
    assert.deepEqual([await references.wasGiven(second, gone), await references.wasGiven(second, kept)], [false, true]);
    assert.notEqual(await references.digestOfTag(second, kept.slice(0, 5)), undefined);
    assert.deepEqual(
      [await references.isAllowed(second, "blue"), await references.isAllowed(first, "blue")],
      [true, false],
    );
  });
});

/** As last counted by the clock. */
function bytesOf({ collector }: Cache): number {
  return collector.lastUsage?.total.bytes ?? 0;
}

function filesBelow(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}
