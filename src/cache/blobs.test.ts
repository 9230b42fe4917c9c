import assert from "node:assert/strict";
import {
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { test } from "node:test";
import { useDataDir } from "../../test/helpers/data-dir.ts";
import { watchDisk } from "../../test/helpers/disk-calls.ts";
import { useImmutable, whyNoImmutable } from "../../test/helpers/immutable.ts";
import { FileHasher } from "../base/index.ts";
import { digestOf } from "../oci/index.ts";
import { Blobs } from "./blobs.ts";

const bytes = Buffer.from("the bytes of a blob");
const size = bytes.byteLength;
const ORIGIN = "https a.io/x";
const digest = digestOf(bytes);

for (const algorithm of ["sha256", "sha512"] as const) {
  test(`a small blob is kept and found (${algorithm})`, async (t) => {
    const { blobs, layout } = await useDataDir(t).open();
    const named = digestOf(bytes, algorithm);
    assert.equal(await blobs.read(named), undefined);
    assert.equal(await blobs.has({ digest: named, size }), false);
    await blobs.put(named, bytes);
    assert.deepEqual(Buffer.from((await blobs.read(named)) ?? []), bytes);
    assert.equal(await blobs.has({ digest: named, size }), true);
    assert.equal(statSync(layout.blob(named)).mode & 0o7777, 0o644);
    await blobs.put(named, bytes);
    assert.deepEqual(readdirSync(layout.tmp), []);
  });
}

test("a blob of another size is not there", async (t) => {
  const { blobs, layout } = await useDataDir(t).open();
  await blobs.put(digest, bytes);
  assert.equal(await blobs.has({ digest, size: size - 1 }), false);
  truncateSync(layout.blob(digest), 3);
  assert.equal(await blobs.has({ digest, size }), false);
});

test("what is no file is no blob", async (t) => {
  const { blobs, layout } = await useDataDir(t).open();
  writeFileSync(`${layout.tmp}/elsewhere`, bytes);
  symlinkSync(`${layout.tmp}/elsewhere`, layout.blob(digest));
  assert.equal(await blobs.has({ digest, size }), false);
  const folder = digestOf(Buffer.from("folder"));
  mkdirSync(layout.blob(folder));
  assert.equal(await blobs.has({ digest: folder, size: statSync(layout.blob(folder)).size }), false);
});

test("a whole blob whose mode is right is whole, also where that could not be set", {
  skip: whyNoImmutable(),
}, async (t) => {
  const { blobs, layout } = await useDataDir(t).open();
  await blobs.put(digest, bytes);
  using _ = useImmutable(layout.blob(digest));
  using hasher = new FileHasher({ signal: new AbortController().signal });
  assert.equal(await blobs.isWhole(digest, hasher), true);
});

test("a blob that lost its bytes is reported and gone, its links stay", async (t) => {
  const area = useDataDir(t);
  const { blobs, layout } = await area.open();
  await blobs.put(digest, bytes);
  linkSync(layout.blob(digest), `${layout.trees}/linked`);
  writeFileSync(layout.blob(digest), "x".repeat(size));
  assert.equal(await blobs.read(digest), undefined);
  assert.equal(await blobs.has({ digest, size }), false);
  assert.deepEqual([area.lines.length, area.lines[0]?.["level"], area.lines[0]?.["digest"]], [1, "error", digest]);
  await blobs.put(digest, bytes);
  assert.deepEqual(Buffer.from((await blobs.read(digest)) ?? []), bytes);
  assert.equal(readFileSync(`${layout.trees}/linked`, "utf8"), "x".repeat(size));
});

test("a blob that lost its bytes is gone without a log, too", async (t) => {
  const { layout } = await useDataDir(t).open();
  writeFileSync(layout.blob(digest), "other");
  assert.equal(await new Blobs(layout).read(digest), undefined);
  assert.deepEqual(readdirSync(`${layout.blobs}/sha256`), []);
});

test("a download becomes a blob that pods may read; a worker sees it, too", async (t) => {
  const { blobs, layout } = await useDataDir(t).open();
  const ingest = layout.ingestFile(digest, ORIGIN);
  writeFileSync(ingest, bytes, { mode: 0o600 });
  await blobs.commit(ingest, digest);
  assert.equal(await new Blobs(layout).has({ digest, size }), true);
  assert.equal(statSync(layout.blob(digest)).mode & 0o7777, 0o644);
  assert.deepEqual(readdirSync(layout.ingest), []);
});

test("a download replaces a blob of wrong size", async (t) => {
  const { blobs, layout } = await useDataDir(t).open();
  writeFileSync(layout.blob(digest), "cut");
  writeFileSync(layout.ingestFile(digest, ORIGIN), bytes);
  await blobs.commit(layout.ingestFile(digest, ORIGIN), digest);
  assert.deepEqual(readFileSync(layout.blob(digest)), bytes);
});

test("a folder that is where a blob goes is no blob, and makes way", async (t) => {
  const { blobs, layout } = await useDataDir(t).open();
  const occupy = () => mkdirSync(`${layout.blob(digest)}/sub`, { recursive: true });
  occupy();
  assert.equal(await blobs.read(digest), undefined);
  await blobs.put(digest, bytes);
  assert.deepEqual(readFileSync(layout.blob(digest)), bytes);
  rmSync(layout.blob(digest));
  occupy();
  writeFileSync(layout.ingestFile(digest, ORIGIN), bytes);
  await blobs.commit(layout.ingestFile(digest, ORIGIN), digest);
  assert.deepEqual(readFileSync(layout.blob(digest)), bytes);
});

test("a download becomes a blob of a cache that is thrown away, too, whatever is there", async (t) => {
  const { layout } = await useDataDir(t).open();
  const blobs = new Blobs(layout, undefined, { isDurable: false });
  for (const occupy of [
    () => undefined,
    () => mkdirSync(`${layout.blob(digest)}/sub`, { recursive: true }),
    () => writeFileSync(layout.blob(digest), "cut"),
  ]) {
    occupy();
    writeFileSync(layout.ingestFile(digest, ORIGIN), bytes, { mode: 0o600 });
    await blobs.commit(layout.ingestFile(digest, ORIGIN), digest);
    assert.deepEqual(readFileSync(layout.blob(digest)), bytes);
    assert.equal(statSync(layout.blob(digest)).mode & 0o7777, 0o644);
    assert.deepEqual(readdirSync(layout.ingest), []);
    rmSync(layout.blob(digest));
  }
});

test("a small blob of a cache that is thrown away is written where it belongs, whatever is there", async (t) => {
  const { layout } = await useDataDir(t).open();
  const blobs = new Blobs(layout, undefined, { isDurable: false });
  const elsewhere = `${layout.tmp}/elsewhere`;
  writeFileSync(elsewhere, "somebody's");
  for (const occupy of [
    () => undefined,
    () => mkdirSync(`${layout.blob(digest)}/sub`, { recursive: true }),
    () => writeFileSync(layout.blob(digest), "cut", { mode: 0o600 }),
    () => symlinkSync(elsewhere, layout.blob(digest)),
  ]) {
    occupy();
    blobs.putNow(digest, bytes);
    assert.equal(blobs.hasSync({ digest, size }), true);
    assert.deepEqual(readFileSync(layout.blob(digest)), bytes);
    assert.equal(statSync(layout.blob(digest)).mode & 0o7777, 0o644);
    rmSync(layout.blob(digest));
  }
  assert.equal(readFileSync(elsewhere, "utf8"), "somebody's");
});

test("a download that is not there is an error", async (t) => {
  const { blobs, layout } = await useDataDir(t).open();
  await assert.rejects(blobs.commit(layout.ingestFile(digest, ORIGIN), digest), { code: "ENOENT" });
});

test("a download is durable before it can be seen", async (t) => {
  const { blobs, layout } = await useDataDir(t).open();
  const ingest = layout.ingestFile(digest, ORIGIN);
  writeFileSync(ingest, bytes);
  const disk = watchDisk(t, layout.dataDir);
  await blobs.commit(ingest, digest);
  const hex = digest.slice(7, 11);
  const download = `ingest/sha256-${hex}${ingest.slice(ingest.lastIndexOf("-"))}`;
  assert.deepEqual(disk.calls, [
    `open ${download}`,
    `sync ${download}`,
    `rename ${download} -> blobs/sha256/${hex}`,
    "sync blobs/sha256",
  ]);
});

for (let step = 0; step < 4; step++) {
  test(`a kill at step ${step} of a commit leaves a whole download or a whole blob`, async (t) => {
    const { blobs, layout } = await useDataDir(t).open();
    const ingest = layout.ingestFile(digest, ORIGIN);
    writeFileSync(ingest, bytes);
    const disk = watchDisk(t, layout.dataDir, step);
    await assert.rejects(blobs.commit(ingest, digest), /killed/);
    disk.stop();
    const there = await blobs.has({ digest, size });
    assert.equal(there, step === 3);
    if (!there) await blobs.commit(ingest, digest);
    assert.deepEqual(Buffer.from((await blobs.read(digest)) ?? []), bytes);
  });
}
