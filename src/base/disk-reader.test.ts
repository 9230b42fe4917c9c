import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { useTempFolder } from "../../test/helpers/temp-folder.ts";
import { DISK_BLOCK_BYTES, DiskReader } from "./disk-reader.ts";

/** A file of some blocks and a bit, open. */
function useFile(folder: string, reader: DiskReader) {
  const content = randomBytes(5 * DISK_BLOCK_BYTES + 7);
  writeFileSync(join(folder, "file"), content);
  return { content, file: reader.open(Buffer.from(join(folder, "file"))) };
}

test("any part of a file is read, up to the end and no further", (t) => {
  using reader = new DiskReader();
  const { content, file } = useFile(useTempFolder(t), reader);
  using _ = file;
  for (const [block, bytes] of [
    [0, 5],
    [1, DISK_BLOCK_BYTES],
    [3, 10_000],
    [5, 1],
    [0, 2 ** 40],
  ] as const) {
    const at = block * DISK_BLOCK_BYTES;
    assert.ok(reader.read(file, at, bytes).equals(content.subarray(at, at + bytes)), `${bytes} from block ${block} on`);
  }
  assert.equal(reader.read(file, 6 * DISK_BLOCK_BYTES).length, 0);
});

test("what cannot be read past the page cache is read all the same, and no descriptor is left", (t) => {
  using reader = new DiskReader();
  const before = readdirSync("/proc/self/fd").length;
  {
    const { content, file } = useFile(useTempFolder(t), reader);
    using _ = file;
    // No disk begins there.
    assert.ok(reader.read(file, 1, 10_000).equals(content.subarray(1, 10_001)));
    assert.ok(reader.read(file, DISK_BLOCK_BYTES, 9).equals(content.subarray(DISK_BLOCK_BYTES, DISK_BLOCK_BYTES + 9)));
  }
  assert.equal(readdirSync("/proc/self/fd").length, before);
});
