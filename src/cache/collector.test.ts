import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statfsSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { useDataDir } from "../../test/helpers/data-dir.ts";
import { artifact, fileLayer } from "../../test/registry/index.ts";
import { useSmallDisk, whyNoSmallDisk } from "../../test/helpers/small-disk.ts";
import { setImmediate } from "node:timers/promises";
import { type Digest, digestOf, parseReference } from "../oci/index.ts";
import type { Cache } from "./cache.ts";
import type { TreeId } from "./layout.ts";
import { type CacheLimits, defaultCacheLimits } from "./limits.ts";

const MIB = 1024 * 1024;
const DAY_MS = 24 * 60 * 60_000;

/** Puts a blob of that size into the cache. */
async function putBlob(cache: Cache, sizeBytes: number): Promise<Digest> {
  const bytes = randomBytes(sizeBytes);
  const digest = digestOf(bytes);
  await cache.blobs.put(digest, bytes);
  return digest;
}

/** Makes a tree of file layers, with a manifest of its own. */
async function makeTree(cache: Cache, name: string, layers: readonly Digest[]): Promise<TreeId> {
  const id = digestOf(Buffer.from(name)).slice("sha256:".length) as TreeId;
  const manifest = await putBlob(cache, 500);
  await cache.withStaging(async (staging) => {
    const folder = join(staging, "tree");
    mkdirSync(folder);
    for (const layer of new Set(layers)) linkSync(cache.layout.blob(layer), join(folder, layer));
    await cache.commitTree(id, folder, { manifest, bytes: 1, inodes: 1 + layers.length, layers });
  });
  return id;
}

async function makeLargeTree(cache: Cache, name: string, sizeBytes = MIB): Promise<TreeId> {
  return makeTree(cache, name, [await putBlob(cache, sizeBytes)]);
}

/** What lies in the data dir by name. */
async function stored(cache: Cache) {
  await cache.sweeper.idle();
  const { layout } = cache;
  const names = (folder: string) => readdirSync(folder);
  return {
    trees: names(layout.trees).filter((name) => !name.includes(".")),
    records: names(layout.trees).filter((name) => name.endsWith(".json")),
    blobs: names(join(layout.blobs, "sha256")).length,
    tmp: names(layout.tmp),
  };
}

function limits(changes: Partial<CacheLimits>): CacheLimits {
  // A machine whose own disk is nearly full has to pass these tests, too.
  return { ...defaultCacheLimits, highPercent: 99, lowPercent: 98, ...changes };
}

async function open(t: TestContext, changes: Partial<CacheLimits> = {}, path?: string) {
  const area = useDataDir(t, path === undefined ? {} : { path });
  const cache = await area.open({ limits: limits(changes) });
  return { area, cache };
}

describe("evicting one tree", () => {
  test("its folder, record and what only it is made of go; what another tree shares stays", async (t) => {
    const { cache } = await open(t);
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
    const { cache } = await open(t);
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
    const { cache } = await open(t);
    const id = await makeLargeTree(cache, "leased");
    const lease = await cache.leases.hold(id);
    assert.equal((await cache.collector.evict(id, "removed")).outcome, "leased");
    assert.equal((await cache.collector.prune()).trees, 0);
    lease.release();
    assert.equal((await cache.collector.prune()).trees, 1);
  });

  test("a pin keeps it, also after a restart, until it is taken away", async (t) => {
    const { area, cache } = await open(t);
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
    const { area, cache } = await open(t);
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
  const { area, cache } = await open(t, { ttlMs: 65_000 });
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
  const { cache } = await open(t, { maxBytes: MIB });
  const id = await makeLargeTree(cache, "tree", 2 * MIB);
  {
    using _ = await cache.leases.hold(id);
    await cache.collector.collect();
    assert.equal(cache.collector.fullness?.by, "max-bytes");
  }
  await cache.collector.collect();
  assert.equal(cache.collector.fullness, undefined);
});

describe("by age", () => {
  test("trees that no volume had for the ttl go, the others stay", async (t) => {
    const { area, cache } = await open(t, { ttlMs: 60_000 });
    const [old, used, leased] = [
      await makeLargeTree(cache, "old"),
      await makeLargeTree(cache, "used"),
      await makeLargeTree(cache, "leased"),
    ];
    using _ = await cache.leases.hold(leased);
    area.clock.advance(50_000);
    cache.inventory.touch(used);
    area.clock.advance(11_000);
    assert.equal((await cache.collector.collect()).trees, 1);
    const { trees } = await stored(cache);
    assert.deepEqual([trees.includes(old), trees.includes(used), trees.includes(leased)], [false, true, true]);
  });

  test("when a tree was last used outlives the process", async (t) => {
    const { area, cache } = await open(t, { ttlMs: 60_000 });
    const [old, used] = [await makeLargeTree(cache, "old"), await makeLargeTree(cache, "used")];
    for (const id of [old, used]) cache.inventory.touch(id);
    area.clock.advance(100_000);
    cache.inventory.touch(used);
    await cache.close();
    const next = await area.open({ limits: limits({ ttlMs: 60_000 }) });
    assert.equal((await next.collector.collect()).trees, 1);
    assert.deepEqual((await stored(next)).trees, [used]);
  });

  test("a use that was noted before the records were read is written down, too", async (t) => {
    const { area, cache } = await open(t, { ttlMs: 60_000 });
    const [old, used] = [await makeLargeTree(cache, "old"), await makeLargeTree(cache, "used")];
    for (const id of [old, used]) cache.inventory.touch(id);
    await cache.close();
    area.clock.advance(100_000);
    const second = await area.open({ limits: limits({ ttlMs: 60_000 }) });
    second.inventory.touch(used);
    await second.inventory.load();
    await second.close();
    const third = await area.open({ limits: limits({ ttlMs: 60_000 }) });
    assert.equal((await third.collector.collect()).trees, 1);
    assert.deepEqual((await stored(third)).trees, [used]);
  });

  test("a time in the future counts as now", async (t) => {
    const { area, cache } = await open(t, { ttlMs: 60_000 });
    const id = await makeLargeTree(cache, "future");
    await cache.close();
    const future = area.clock.now() / 1000 + 1_000_000;
    utimesSync(cache.layout.treeRecord(id), future, future);
    const next = await area.open({ limits: limits({ ttlMs: 60_000 }) });
    assert.equal((await next.collector.collect()).trees, 0);
    assert.equal(next.inventory.unusedMs(id), 0);
  });

  test("unfinished downloads rest for a day, then go with the files beside them; other files are left", async (t) => {
    const { area, cache } = await open(t);
    const [digest, wanted] = [digestOf(Buffer.from("a")), digestOf(Buffer.from("b"))];
    const { layout, collector } = cache;
    const [old, young, held] = [
      layout.ingestFile(digest, "http a.io/x"),
      layout.ingestFile(digest, "http b.io/x"),
      layout.ingestFile(wanted, "http a.io/x"),
    ];
    // One that an earlier version left goes as well.
    const formerly = join(layout.ingest, digest.replace(":", "-"));
    for (const path of [old, `${old}.parts`, held, formerly, `${formerly}.parts`]) {
      writeFileSync(path, "x".repeat(10_000));
      utimesSync(path, area.clock.now() / 1000, area.clock.now() / 1000);
    }
    writeFileSync(join(layout.ingest, "notes"), "of somebody");
    const { partials } = await collector.usage();
    assert.deepEqual(partials, { bytes: 5 * 12_288, inodes: 5 });
    using _ = await cache.leases.hold(wanted);
    area.clock.advance(DAY_MS - 1000);
    writeFileSync(young, "x");
    utimesSync(young, area.clock.now() / 1000, area.clock.now() / 1000);
    await collector.collect();
    assert.equal(readdirSync(layout.ingest).length, 7);
    area.clock.advance(1000);
    await collector.collect();
    assert.deepEqual(readdirSync(layout.ingest).sort(), ["notes", basename(young), basename(held)].sort());
  });

  for (const entries of [1, 1000]) {
    test(`a blob that became no tree goes after a day; an index of ${entries} stays as long as a tree that it leads to`, async (t) => {
      const { area, cache } = await open(t);
      const id = await makeTree(cache, "tree", []);
      const { manifest } = { ...cache.inventory.get(id) };
      const descriptor = { mediaType: "application/vnd.oci.image.manifest.v1+json", digest: manifest, size: 500 };
      const other = (_: unknown, i: number) => ({ ...descriptor, digest: digestOf(Buffer.from(`other ${i}`)) });
      const manifests = [...Array.from({ length: entries - 1 }, other), descriptor];
      const mediaType = "application/vnd.oci.image.index.v1+json";
      const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests }));
      const indexDigest = digestOf(index);
      await cache.blobs.put(indexDigest, index);
      const stray = await putBlob(cache, 700);
      for (const digest of [indexDigest, stray]) {
        utimesSync(cache.layout.blob(digest), area.clock.now() / 1000, area.clock.now() / 1000);
      }
      await cache.collector.collect();
      assert.equal((await stored(cache)).blobs, 3);
      area.clock.advance(DAY_MS + 1000);
      await cache.collector.collect();
      assert.deepEqual(
        [existsSync(cache.layout.blob(stray)), existsSync(cache.layout.blob(indexDigest))],
        [false, true],
      );
      await cache.collector.evict(id, "removed");
      await cache.collector.collect();
      assert.equal((await stored(cache)).blobs, 0);
    });
  }
});

describe("what goes with a tree", () => {
  test("the links that name it, and no other", async (t) => {
    const { cache } = await open(t);
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
    const { area, cache } = await open(t);
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

describe("by size", () => {
  test("above the most bytes, what nobody wants goes first, then trees, the longest unused first", async (t) => {
    const { area, cache } = await open(t, { maxBytes: 3.5 * MIB });
    const ids: TreeId[] = [];
    for (const name of ["first", "second", "third", "fourth"]) {
      ids.push(await makeLargeTree(cache, name));
      area.clock.advance(1000);
    }
    const [first, second = "" as TreeId] = ids;
    cache.inventory.touch(second);
    const partial = cache.layout.ingestFile(digestOf(Buffer.from("p")), "http a.io/x");
    writeFileSync(partial, Buffer.alloc(MIB));
    assert.deepEqual((await cache.collector.collect()).trees, 1);
    assert.equal(existsSync(partial), false);
    assert.equal((await stored(cache)).trees.includes(first ?? ""), false);
    assert.ok((await cache.collector.usage()).total.bytes <= 3.5 * MIB);
  });

  test("what a pull that was killed left goes before trees do, however young and small; a manifest does not", async (t) => {
    const { cache } = await open(t, { maxBytes: 2 * MIB });
    await makeLargeTree(cache, "tree");
    const strays = [await putBlob(cache, MIB), await putBlob(cache, MIB)];
    const waiting = artifact([fileLayer("a", "a")]);
    await cache.blobs.put(digestOf(waiting.bytes), waiting.bytes);
    assert.equal((await cache.collector.collect()).trees, 0);
    assert.deepEqual(
      strays.filter((digest) => existsSync(cache.layout.blob(digest))),
      [],
    );
    assert.equal(existsSync(cache.layout.blob(digestOf(waiting.bytes))), true);
  });

  test("what pods wrote counts", async (t) => {
    const { cache } = await open(t, { maxBytes: 3 * MIB });
    await makeLargeTree(cache, "tree");
    assert.equal((await cache.collector.collect()).trees, 0);
    cache.collector.followUppers(() => ({ bytes: 2.5 * MIB, inodes: 1 }));
    assert.equal((await cache.collector.collect()).trees, 1);
  });
});

describe("on a small disk", { skip: whyNoSmallDisk() }, () => {
  test("above the high mark it goes down to the low one, and not further", async (t) => {
    using disk = useSmallDisk({ type: "ext4", sizeBytes: 64 * MIB });
    const marks = { highPercent: 75, lowPercent: 50, minPercent: 10 };
    const { area, cache } = await open(t, marks, join(disk.path, "data"));
    let used = 0;
    for (let i = 0; used < 70; i++) {
      await makeLargeTree(cache, `tree ${i}`, 2 * MIB);
      area.clock.advance(1000);
      used = usedPercent(disk.path);
    }
    assert.equal((await cache.collector.collect()).trees, 0);
    for (let i = 0; used <= 75; i++) {
      await makeLargeTree(cache, `more ${i}`, 2 * MIB);
      used = usedPercent(disk.path);
    }
    await cache.collector.collect();
    assert.ok(usedPercent(disk.path) <= 50 && usedPercent(disk.path) > 44, `${usedPercent(disk.path)} % are used`);
    await cache.close();
  });

  test("where others filled it, a share stays with the cache", async (t) => {
    using disk = useSmallDisk({ type: "ext4", sizeBytes: 64 * MIB });
    const marks = { highPercent: 75, lowPercent: 70, minPercent: 20 };
    const { cache } = await open(t, marks, join(disk.path, "data"));
    for (let i = 0; i < 10; i++) await makeLargeTree(cache, `tree ${i}`, 2 * MIB);
    writeFileSync(join(disk.path, "theirs"), Buffer.alloc(32 * MIB));
    await cache.collector.collect();
    const { total, fileSystem } = await cache.collector.usage();
    const share = total.bytes / fileSystem.totalBytes;
    assert.ok(share <= 0.2 && share > 0.15, `${share * 100} % are left to the cache`);
    await cache.close();
  });

  test("inodes count like bytes", async (t) => {
    using disk = useSmallDisk({ type: "ext4", sizeBytes: 64 * MIB, inodes: 400 });
    const { cache } = await open(t, { highPercent: 75, lowPercent: 50 }, join(disk.path, "data"));
    for (let i = 0; usedInodesPercent(disk.path) <= 75; i++) await makeTree(cache, `tree ${i}`, []);
    await cache.collector.collect();
    const percent = usedInodesPercent(disk.path);
    assert.ok(percent <= 50 && percent > 45, `${percent} % of the inodes are used`);
    await cache.close();
  });

  test("a full disk can be collected", async (t) => {
    using disk = useSmallDisk({ type: "ext4", sizeBytes: 32 * MIB });
    const { cache } = await open(t, { highPercent: 75, lowPercent: 50 }, join(disk.path, "data"));
    for (let i = 0; i < 6; i++) await makeLargeTree(cache, `tree ${i}`, 2 * MIB);
    assert.throws(() => writeFileSync(join(disk.path, "theirs"), Buffer.alloc(32 * MIB)), /ENOSPC/);
    const { trees } = await cache.collector.prune();
    assert.equal(trees, 6);
    assert.deepEqual(await stored(cache), { trees: [], records: [], blobs: 0, tmp: [] });
    await cache.close();
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

function usedPercent(path: string): number {
  const { blocks, bavail } = statfsSync(path);
  return 100 - (bavail / blocks) * 100;
}

function usedInodesPercent(path: string): number {
  const { files, ffree } = statfsSync(path);
  return 100 - (ffree / files) * 100;
}
