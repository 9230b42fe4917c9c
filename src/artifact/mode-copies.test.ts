import assert from "node:assert/strict";
import { lstatSync, mkdirSync, readFileSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { useSmallDisk, whyNoSmallDisk } from "../../test/helpers/small-disk.ts";
import { useTempFolder } from "../../test/helpers/temp-folder.ts";
import { ModeCopies } from "./mode-copies.ts";

const never = new AbortController().signal;

function useBlob(folder: string, content: string | Uint8Array) {
  const blob = join(folder, "blob");
  writeFileSync(blob, content, { mode: 0o644 });
  return blob;
}

test("a blob is copied once for each mode, and stays what it was", async (t) => {
  const folder = useTempFolder(t);
  const blob = useBlob(folder, Buffer.alloc(3_000_000, "x"));
  const copies = new ModeCopies(folder);
  const first = await copies.copyOf({ blob, mode: 0o755 }, never);
  const second = await copies.copyOf({ blob, mode: 0o777 }, never);
  assert.equal(await copies.copyOf({ blob, mode: 0o755 }, never), first);
  assert.deepEqual(
    [blob, first, second].map((path) => lstatSync(path).mode & 0o7777),
    [0o644, 0o755, 0o777],
  );
  assert.ok(readFileSync(first).equals(readFileSync(blob)));
  assert.equal(new Set([blob, first, second].map((path) => lstatSync(path).ino)).size, 3);
});

test("a pull that is cancelled copies no more", async (t) => {
  const folder = useTempFolder(t);
  const blob = useBlob(folder, "x");
  const copies = new ModeCopies(folder);
  const cancelled = AbortSignal.abort(new Error("not wanted any more"));
  await assert.rejects(copies.copyOf({ blob, mode: 0o755 }, cancelled), /not wanted any more/);
});

test("a disk that gets full says so", { skip: whyNoSmallDisk() }, async () => {
  using disk = useSmallDisk();
  mkdirSync(join(disk.path, "staging"));
  const { bsize, bavail } = statfsSync(disk.path);
  const blob = useBlob(disk.path, Buffer.alloc(Math.ceil(bsize * bavail * 0.7)));
  const copies = new ModeCopies(join(disk.path, "staging"));
  await assert.rejects(copies.copyOf({ blob, mode: 0o755 }, never), { code: "ENOSPC" });
});
