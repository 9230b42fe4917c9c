import assert from "node:assert/strict";
import { mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { useCache } from "../../test/helpers/cache-area.ts";
import { FileHasher } from "../base/index.ts";
import type { TreeId } from "../cache/index.ts";
import { digestOf } from "../oci/index.ts";
import { InodeSet } from "./inode-set.ts";
import { checkTree } from "./tree-check.ts";

const nothingRead = () => ({ sound: new InodeSet(), wrong: new InodeSet(), changed: new InodeSet() });

test("a tree that another thread takes away before it is walked is no error", async () => {
  await using area = await useCache();
  const { layout } = area.cache;
  const { signal } = new AbortController();
  using hasher = new FileHasher({ signal });
  const tree = {
    id: "a".repeat(64) as TreeId,
    inodes: 5,
    manifest: digestOf(Buffer.alloc(0), "sha256"),
    layers: [],
    isMarked: false,
  };
  const outcome = await checkTree({ tree, parts: undefined, layout, ...nothingRead(), hasher, signal });
  assert.deepEqual(outcome, { says: "4 of its 5 entries are missing", unknownFiles: 0 });
});

test("one entry that is missing or too many is told as one", async () => {
  await using area = await useCache();
  const { layout } = area.cache;
  const { signal } = new AbortController();
  using hasher = new FileHasher({ signal });
  const id = "a".repeat(64) as TreeId;
  const manifest = digestOf(Buffer.alloc(0), "sha256");
  mkdirSync(join(layout.treeFolder(id), "folder"), { recursive: true });
  const saysOf = async (inodes: number) => {
    const tree = { id, inodes, manifest, layers: [], isMarked: false };
    return (await checkTree({ tree, parts: undefined, layout, ...nothingRead(), hasher, signal })).says;
  };
  assert.equal(await saysOf(3), "1 of its 3 entries is missing");
  assert.equal(await saysOf(1), "it has 1 entry more than it should");
});

test("a tree's own copy of a sparse file is not read to the end of its holes, nor called wrong", async () => {
  await using area = await useCache();
  const { layout } = area.cache;
  let bytesRead = 0;
  const { signal } = new AbortController();
  using hasher = new FileHasher({ signal, onBytes: (bytes) => (bytesRead += bytes) });
  const tree = {
    id: "a".repeat(64) as TreeId,
    inodes: 3,
    manifest: digestOf(Buffer.alloc(0), "sha256"),
    layers: [],
    isMarked: false,
  };
  mkdirSync(layout.treeFolder(tree.id));
  for (const [name, size] of [
    ["sparse", 2 ** 40],
    ["small", 5000],
  ] as const) {
    const path = join(layout.treeFolder(tree.id), name);
    writeFileSync(path, "data");
    truncateSync(path, size);
  }
  const outcome = await checkTree({ tree, parts: undefined, layout, ...nothingRead(), hasher, signal });
  assert.deepEqual([outcome.says, outcome.unknownFiles, bytesRead], ['"small" has wrong bytes', 1, 5000]);
});
