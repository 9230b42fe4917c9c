import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { useSmallDisk, whyNoSmallDisk } from "../../test/helpers/small-disk.ts";
import { useTempFolder } from "../../test/helpers/temp-folder.ts";
import { FileHasher, isUnreadable } from "./file-hasher.ts";

const never = new AbortController().signal;

test("files of any size are hashed, and what was read is told", async (t) => {
  const folder = useTempFolder(t);
  for (const size of [0, 1, 1024 * 1024, 3 * 1024 * 1024 + 5]) {
    const path = join(folder, `of-${size}`);
    const content = randomBytes(size);
    writeFileSync(path, content);
    let told = 0;
    using hasher = new FileHasher({ signal: never, onBytes: (bytes) => (told += bytes) });
    const found = await hasher.hash(Buffer.from(path));
    const hex = createHash("sha256").update(content).digest("hex");
    assert.deepEqual(found, { hex, bytes: size, inode: statSync(path).ino });
    assert.equal(told, size);
    const other = await hasher.hash(Buffer.from(path), "sha512");
    assert.equal(other.hex, createHash("sha512").update(content).digest("hex"));
  }
});

test("what is no file is an error, and never waited for or followed", async (t) => {
  const folder = useTempFolder(t);
  const at = (name: string) => join(folder, name);
  writeFileSync(at("file"), "content");
  symlinkSync("file", at("link"));
  mkdirSync(at("folder"));
  spawnSync("mkfifo", [at("fifo")]);
  using hasher = new FileHasher({ signal: never });
  for (const name of ["link", "folder", "fifo", "missing"])
    await assert.rejects(hasher.hash(Buffer.from(at(name))), name);
});

test("only a file's or a disk's fault makes a file unreadable, and no mistake of the caller's", async (t) => {
  const large = join(useTempFolder(t), "large");
  writeFileSync(large, Buffer.alloc(2 * 1024 * 1024));
  const hasher = new FileHasher({ signal: never });
  const isTold = (isFault: boolean) => (error: unknown) => isUnreadable(error) === isFault;
  await assert.rejects(hasher.hash(Buffer.from(`${large}.not`)), isTold(true));
  const hashing = hasher.hash(Buffer.from(large));
  hasher[Symbol.dispose]();
  await assert.rejects(hashing, isTold(false));
});

test("hashing ends in the middle of a file when it is cancelled", async (t) => {
  const path = join(useTempFolder(t), "large");
  writeFileSync(path, Buffer.alloc(80 * 1024 * 1024));
  const stop = new AbortController();
  let told = 0;
  const onBytes = (bytes: number) => {
    if (told === 0) setImmediate(() => stop.abort(new Error("enough")));
    told += bytes;
  };
  using hasher = new FileHasher({ signal: stop.signal, onBytes });
  await assert.rejects(hasher.hash(Buffer.from(path)), /enough/);
  assert.ok(told < 80 * 1024 * 1024);
});

for (const type of ["ext4", "xfs"] as const) {
  test(`what the disk has is hashed, and not what is in memory of it (${type})`, {
    skip: whyNoSmallDisk(),
  }, async () => {
    using disk = useSmallDisk({ type, sizeBytes: 320 * 1024 * 1024 });
    using hasher = new FileHasher({ signal: never });
    const path = join(disk.path, "file");
    for (const size of [100, 1024 * 1024 + 700]) {
      const content = randomBytes(size).toString("hex");
      writeFileSync(path, content);
      const { hex } = await hasher.hash(Buffer.from(path));
      disk.flip(content.slice(-50));
      assert.equal(readFileSync(path, "utf8"), content, "what is in memory stays");
      assert.notEqual((await hasher.hash(Buffer.from(path))).hex, hex);
    }
  });
}

test("where a file system reads all through memory, so does the hasher", async () => {
  using hasher = new FileHasher({ signal: never });
  const path = "/sys/devices/system/cpu/possible";
  const content = readFileSync(path);
  const { hex, bytes } = await hasher.hash(Buffer.from(path));
  assert.deepEqual([hex, bytes], [createHash("sha256").update(content).digest("hex"), content.length]);
});
