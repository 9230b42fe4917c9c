import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { skipMounts, useMountArea } from "../../test/helpers/mount-area.ts";
import { errnoOf } from "../base/index.ts";
import { IngestFile } from "./ingest-file.ts";

function use() {
  const folder = mkdtempSync(join(tmpdir(), "oras-csi-ingest-"));
  const dispose = () => rmSync(folder, { recursive: true, force: true });
  return { folder, path: join(folder, "sha256-x"), [Symbol.dispose]: dispose };
}

test("bytes are appended, others cannot read them", () => {
  using place = use();
  const file = new IngestFile(place.path);
  file.write(Buffer.from("one "));
  file.write(Buffer.alloc(0));
  file.write(Buffer.from("two"));
  assert.equal(file.length, 7);
  file.close();
  assert.equal(readFileSync(place.path, "utf8"), "one two");
  assert.equal(statSync(place.path).mode & 0o7777, 0o600);
});

test("what an earlier try left is not gone on with", () => {
  using place = use();
  writeFileSync(place.path, "an earlier and longer try");
  const file = new IngestFile(place.path);
  file.write(Buffer.from("new"));
  file.close();
  assert.equal(readFileSync(place.path, "utf8"), "new");
});

test("a folder that is in the way goes", () => {
  using place = use();
  mkdirSync(join(place.path, "sub"), { recursive: true });
  const file = new IngestFile(place.path);
  file.write(Buffer.from("new"));
  file.close();
  assert.equal(readFileSync(place.path, "utf8"), "new");
});

test("a restart begins at the first byte", () => {
  using place = use();
  const file = new IngestFile(place.path);
  file.write(Buffer.from("wrong and long"));
  file.restart();
  assert.equal(file.length, 0);
  file.write(Buffer.from("right"));
  file.close();
  assert.equal(readFileSync(place.path, "utf8"), "right");
});

test("discarding removes it, but not what it was made into", () => {
  using place = use();
  const file = new IngestFile(place.path);
  file.write(Buffer.from("bytes"));
  file.close();
  renameSync(place.path, join(place.folder, "blob"));
  file.discard();
  assert.equal(readFileSync(join(place.folder, "blob"), "utf8"), "bytes");
  const other = new IngestFile(place.path);
  other.discard();
  other.discard();
  assert.ok(!existsSync(place.path));
});

test("a full disk is an error, and what is written then can be thrown away", { skip: skipMounts }, async () => {
  await using area = await useMountArea({ tmpfs: "mode=755,size=64k" });
  const file = new IngestFile(join(area.path, "sha256-x"));
  assert.throws(
    () => file.write(Buffer.alloc(200_000, 1)),
    (error) => errnoOf(error) === "ENOSPC",
  );
  file.discard();
  writeFileSync(join(area.path, "room"), Buffer.alloc(30_000));
});
