import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { skipMounts, useMountArea } from "../../test/helpers/mount-area.ts";
import { errnoOf } from "../base/index.ts";
import { IngestFile, type IngestOptions } from "./ingest-file.ts";

function use() {
  const folder = mkdtempSync(join(tmpdir(), "oras-csi-ingest-"));
  const dispose = () => rmSync(folder, { recursive: true, force: true });
  return { folder, path: join(folder, "sha256-x"), [Symbol.dispose]: dispose };
}

const KEPT = 64 * 1024;

const open = (path: string, more: Partial<IngestOptions> = {}) =>
  new IngestFile({ path, sizeBytes: 200_000, origin: "https a.io/x", form: "blob", isDurable: true, ...more });

/** A file with these bytes, as a killed pull leaves it. */
async function leave(path: string, bytes: Buffer): Promise<void> {
  const file = open(path);
  file.write(bytes, 0);
  await file.close();
}

test("bytes are written where they belong, others cannot read them", async () => {
  using place = use();
  const file = open(place.path);
  assert.deepEqual(file.there, []);
  file.write(Buffer.from("two"), 4);
  file.write(Buffer.alloc(0), 0);
  file.write(Buffer.from("one "), 0);
  const back = Buffer.alloc(10);
  assert.equal(await file.read(back, 2), 5);
  assert.equal(back.toString("utf8", 0, 5), "e two");
  await file.close();
  assert.equal(readFileSync(place.path, "utf8"), "one two");
  assert.equal(statSync(place.path).mode & 0o7777, 0o600);
});

describe("what an earlier pull left", () => {
  const bytes = randomBytes(100_000);

  test("is there for the next one from the same repository, killed or not", async () => {
    using place = use();
    await leave(place.path, bytes);
    const file = open(place.path);
    assert.deepEqual(file.there, [{ start: 0, end: bytes.length }]);
    file.write(Buffer.from("more"), bytes.length);
    await file.keep();
    assert.deepEqual(open(place.path).there, [{ start: 0, end: bytes.length + 4 }]);
    assert.ok(readFileSync(place.path).subarray(0, bytes.length).equals(bytes));
    assert.equal(statSync(`${place.path}.parts`).mode & 0o7777, 0o600);
  });

  test("is not for another origin, wherever it lies", async () => {
    using place = use();
    await leave(place.path, bytes);
    assert.deepEqual(open(place.path, { origin: "http a.io/x" }).there, []);
    assert.equal(statSync(place.path).size, 0);
    assert.deepEqual(open(place.path).there, []);
  });

  test("counts up to the blob's size", async () => {
    using place = use();
    await leave(place.path, bytes);
    assert.deepEqual(open(place.path, { sizeBytes: 70_000 }).there, [{ start: 0, end: 70_000 }]);
    assert.equal(statSync(place.path).size, 70_000);
  });

  const spoiled: readonly [name: string, spoil: (path: string) => void][] = [
    ["no map", (path) => rmSync(`${path}.parts`)],
    ["a map that is none", (path) => writeFileSync(`${path}.parts`, '{"origin":')],
    ["a map of something else", (path) => writeFileSync(`${path}.parts`, '{"origin":"https a.io/x","parts":[[1]]}')],
    ["a map and no file", (path) => rmSync(path)],
  ];
  for (const [name, spoil] of spoiled) {
    test(`is of no use with ${name}`, async () => {
      using place = use();
      await leave(place.path, bytes);
      spoil(place.path);
      const file = open(place.path);
      assert.deepEqual(file.there, []);
      file.write(Buffer.from("new"), 0);
      await file.close();
      assert.equal(readFileSync(place.path, "utf8"), "new");
    });
  }

  test("is less than it was worth keeping", async () => {
    using place = use();
    await leave(place.path, bytes.subarray(0, KEPT - 1));
    assert.deepEqual(open(place.path).there, []);
    const file = open(place.path);
    file.write(Buffer.from("little"), 0);
    await file.keep();
    assert.deepEqual(readdirSync(place.folder), []);
  });

  test("may be parts", async () => {
    using place = use();
    await leave(place.path, bytes);
    const parts = [
      [0, 10],
      [90_000, 150_000],
      [190_000, 200_000],
    ];
    writeFileSync(`${place.path}.parts`, JSON.stringify({ origin: "https a.io/x", parts }));
    assert.deepEqual(open(place.path).there, [
      { start: 0, end: 10 },
      { start: 90_000, end: 100_000 },
    ]);
  });
});

test("parts are known by the map, whose bytes were synced before", async () => {
  using place = use();
  const file = open(place.path);
  const parts = { start: Buffer.alloc(70_000, 1), middle: Buffer.alloc(30_000, 2), end: Buffer.alloc(20_000, 3) };
  file.write(parts.start, 0);
  file.write(parts.end, 180_000);
  // Killed here: what came after the gap is not in the map yet, though the file is long.
  assert.equal(statSync(place.path).size, 200_000);
  assert.deepEqual(open(place.path).there, [{ start: 0, end: 70_000 }]);
  file.write(parts.middle, 100_000);
  await file.keep();
  const next = open(place.path);
  assert.deepEqual(next.there, [
    { start: 0, end: 70_000 },
    { start: 100_000, end: 130_000 },
    { start: 180_000, end: 200_000 },
  ]);
  next.write(Buffer.alloc(30_000, 4), 70_000);
  await next.keep();
  assert.deepEqual(open(place.path).there, [
    { start: 0, end: 130_000 },
    { start: 180_000, end: 200_000 },
  ]);
  const restarted = open(place.path);
  await restarted.restart();
  restarted.write(Buffer.alloc(80_000, 5), 0);
  await restarted.keep();
  assert.deepEqual(open(place.path).there, [{ start: 0, end: 80_000 }]);
});

test("what is in the way goes: a folder, a link", async () => {
  using place = use();
  const elsewhere = join(place.folder, "elsewhere");
  writeFileSync(elsewhere, "safe");
  const inTheWay = [
    () => mkdirSync(join(place.path, "sub"), { recursive: true }),
    () => symlinkSync(elsewhere, place.path),
  ];
  for (const put of inTheWay) {
    for (const withMap of [false, true]) {
      put();
      if (withMap) writeFileSync(`${place.path}.parts`, '{"origin":"https a.io/x"}');
      const file = open(place.path);
      file.write(Buffer.from("new"), 0);
      await file.close();
      assert.equal(readFileSync(place.path, "utf8"), "new");
      rmSync(place.path);
    }
  }
  assert.equal(readFileSync(elsewhere, "utf8"), "safe");
});

test("a restart begins at the first byte, also for the next pull", async () => {
  using place = use();
  await leave(place.path, randomBytes(100_000));
  const file = open(place.path);
  await file.restart();
  file.write(Buffer.from("right"), 0);
  await file.close();
  assert.equal(readFileSync(place.path, "utf8"), "right");
  assert.deepEqual(open(place.path).there, []);
});

test("discarding removes it; what was renamed away stays, without what is beside it", async () => {
  using place = use();
  const file = open(place.path);
  file.write(Buffer.alloc(KEPT, 1), 0);
  await file.close();
  renameSync(place.path, join(place.folder, "blob"));
  await file.discard();
  assert.deepEqual(readdirSync(place.folder), ["blob"]);
  const other = open(place.path);
  other.write(Buffer.alloc(KEPT, 1), 0);
  await other.discard();
  await other.discard();
  assert.deepEqual(readdirSync(place.folder), ["blob"]);
});

test("a full disk is an error, and what is written then can be thrown away", { skip: skipMounts }, async () => {
  await using area = await useMountArea({ tmpfs: "mode=755,size=64k" });
  const file = open(join(area.path, "sha256-x"));
  assert.throws(
    () => file.write(Buffer.alloc(200_000, 1), 0),
    (error) => errnoOf(error) === "ENOSPC",
  );
  await file.discard();
  writeFileSync(join(area.path, "room"), Buffer.alloc(30_000));
});
