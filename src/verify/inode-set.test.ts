import assert from "node:assert/strict";
import { test } from "node:test";
import { InodeSet } from "./inode-set.ts";

test("what was added is there, and nothing else", () => {
  const set = new InodeSet();
  const inodes = Array.from({ length: 50_000 }, (_, i) => 1 + i * 3);
  const large = [2 ** 32, 2 ** 32 + 1, 2 ** 52, 2 ** 53 - 1];
  for (const inode of [...inodes, ...large]) assert.equal(set.add(inode), true);
  for (const inode of [...inodes, ...large]) {
    assert.equal(set.has(inode), true);
    assert.equal(set.add(inode), false);
  }
  for (const inode of [2, 3, 150_000, 2 ** 32 + 2, 2 ** 40]) assert.equal(set.has(inode), false);
});
