import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, rmSync, statfsSync, utimesSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, test } from "node:test";
import { useSmallDisk, whyNoSmallDisk } from "../../test/helpers/small-disk.ts";
import {
  DAY_MS,
  limitsWith,
  MIB,
  makeLargeTree,
  makeTree,
  openLimited,
  putBlob,
  stored,
} from "../../test/helpers/stocked-cache.ts";
import { artifact, fileLayer } from "../../test/registry/index.ts";
import { type Digest, digestOf } from "../oci/index.ts";
import type { Cache } from "./cache.ts";
import type { TreeId } from "./layout.ts";

/** Puts a tar layer into the cache, unpacked for artifacts. */
async function putLayer(cache: Cache, digest: Digest): Promise<void> {
  await cache.withStaging(async (staging) => {
    const [folder, indexFile] = [join(staging, "layer"), join(staging, "index")];
    mkdirSync(folder);
    writeFileSync(indexFile, "index");
    await cache.commitLayer({ digest, way: "artifact", folder, indexFile });
  });
}

describe("by age", () => {
  test("trees that no volume had for the ttl go, the others stay", async (t) => {
    const { area, cache } = await openLimited(t, { ttlMs: 60_000 });
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
    const { area, cache } = await openLimited(t, { ttlMs: 60_000 });
    const [old, used] = [await makeLargeTree(cache, "old"), await makeLargeTree(cache, "used")];
    for (const id of [old, used]) cache.inventory.touch(id);
    area.clock.advance(100_000);
    cache.inventory.touch(used);
    await cache.close();
    const next = await area.open({ limits: limitsWith({ ttlMs: 60_000 }) });
    assert.equal((await next.collector.collect()).trees, 1);
    assert.deepEqual((await stored(next)).trees, [used]);
  });

  test("a use that was noted before the records were read is written down, too", async (t) => {
    const { area, cache } = await openLimited(t, { ttlMs: 60_000 });
    const [old, used] = [await makeLargeTree(cache, "old"), await makeLargeTree(cache, "used")];
    for (const id of [old, used]) cache.inventory.touch(id);
    await cache.close();
    area.clock.advance(100_000);
    const second = await area.open({ limits: limitsWith({ ttlMs: 60_000 }) });
    second.inventory.touch(used);
    await second.inventory.load();
    await second.close();
    const third = await area.open({ limits: limitsWith({ ttlMs: 60_000 }) });
    assert.equal((await third.collector.collect()).trees, 1);
    assert.deepEqual((await stored(third)).trees, [used]);
  });

  test("a time in the future counts as now", async (t) => {
    const { area, cache } = await openLimited(t, { ttlMs: 60_000 });
    const id = await makeLargeTree(cache, "future");
    await cache.close();
    const future = area.clock.now() / 1000 + 1_000_000;
    utimesSync(cache.layout.treeRecord(id), future, future);
    const next = await area.open({ limits: limitsWith({ ttlMs: 60_000 }) });
    assert.equal((await next.collector.collect()).trees, 0);
    assert.equal(next.inventory.unusedMs(id), 0);
  });

  test("downloads of what the cache has by now go at once, where it has what was to become of them", async (t) => {
    const { area, cache } = await openLimited(t);
    const { layout, collector } = cache;
    const [blob, held] = [await putBlob(cache, 100), await putBlob(cache, 100)];
    const tar = digestOf(Buffer.from("a tar"));
    await putLayer(cache, tar);
    // Before and after the bytes came.
    const [early, late] = [area.clock.now(), Date.now() + 60_000];
    const leave = (digest: Digest, form: string | undefined, writtenMs: number) => {
      const path = layout.ingestFile(digest, `http ${form}.io/${writtenMs}`);
      const files = form === undefined ? { "": "x" } : { "": "x", ".parts": JSON.stringify({ origin: "x", form }) };
      for (const [suffix, text] of Object.entries(files)) {
        writeFileSync(path + suffix, text);
        utimesSync(path + suffix, writtenMs / 1000, writtenMs / 1000);
      }
      return path;
    };
    const spent = [leave(blob, "blob", early), leave(blob, undefined, early)];
    spent.push(leave(tar, "artifact", late), leave(tar, undefined, late));
    rmSync(leave(held, "blob", early + 5000));
    const others = [leave(tar, "image", late), leave(tar, "blob", late), leave(blob, "artifact", early)];
    // The blob may be known to be damaged, and is being fetched anew.
    others.push(leave(blob, "blob", late), leave(blob, "of a newer driver", early));
    const lease = await cache.leases.hold(held);
    await collector.collect();
    assert.deepEqual([...spent, ...others].map(existsSync), [...spent.map(() => false), ...others.map(() => true)]);
    assert.equal(readdirSync(layout.ingest).length, 2 * others.length + 1);
    lease.release();
    await collector.collect();
    assert.equal(readdirSync(layout.ingest).length, 2 * others.length);
  });

  test("unfinished downloads rest for a day, then go with the files beside them; other files are left", async (t) => {
    const { area, cache } = await openLimited(t);
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
      const { area, cache } = await openLimited(t);
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

describe("by size", () => {
  test("above the most bytes, what nobody wants goes first, then trees, the longest unused first", async (t) => {
    const { area, cache } = await openLimited(t, { maxBytes: 3.5 * MIB });
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
    const { cache } = await openLimited(t, { maxBytes: 2 * MIB });
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

  test("a folder whose record is lost goes before trees do: it holds bytes that no tree needs", async (t) => {
    const { area, cache: before } = await openLimited(t);
    const layer = await putBlob(before, MIB);
    const lost = await makeTree(before, "lost", [layer]);
    await makeLargeTree(before, "tree");
    await before.close();
    rmSync(before.layout.treeRecord(lost));
    const cache = await area.open({ limits: limitsWith({}) });
    const holders = [cache.layout.blob(layer), cache.layout.treeFolder(lost)];
    const excess = async () => ({ bytes: holders.some(existsSync) ? MIB : 0, inodes: 0 });
    assert.equal((await cache.collector.reduce("pull", excess)).trees, 0);
    assert.equal(await excess().then(({ bytes }) => bytes), 0);
  });

  test("what pods wrote counts", async (t) => {
    const { cache } = await openLimited(t, { maxBytes: 3 * MIB });
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
    const { area, cache } = await openLimited(t, marks, join(disk.path, "data"));
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
    const { cache } = await openLimited(t, marks, join(disk.path, "data"));
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
    const { cache } = await openLimited(t, { highPercent: 75, lowPercent: 50 }, join(disk.path, "data"));
    for (let i = 0; usedInodesPercent(disk.path) <= 75; i++) await makeTree(cache, `tree ${i}`, []);
    await cache.collector.collect();
    const percent = usedInodesPercent(disk.path);
    assert.ok(percent <= 50 && percent > 45, `${percent} % of the inodes are used`);
    await cache.close();
  });

  test("a full disk can be collected", async (t) => {
    using disk = useSmallDisk({ type: "ext4", sizeBytes: 32 * MIB });
    const { cache } = await openLimited(t, { highPercent: 75, lowPercent: 50 }, join(disk.path, "data"));
    for (let i = 0; i < 6; i++) await makeLargeTree(cache, `tree ${i}`, 2 * MIB);
    assert.throws(() => writeFileSync(join(disk.path, "theirs"), Buffer.alloc(32 * MIB)), /ENOSPC/);
    const { trees } = await cache.collector.prune();
    assert.equal(trees, 6);
    assert.deepEqual(await stored(cache), { trees: [], records: [], blobs: 0, tmp: [] });
    await cache.close();
  });
});

function usedPercent(path: string): number {
  const { blocks, bavail } = statfsSync(path);
  return 100 - (bavail / blocks) * 100;
}

function usedInodesPercent(path: string): number {
  const { files, ffree } = statfsSync(path);
  return 100 - (ffree / files) * 100;
}
