import assert from "node:assert/strict";
import { test } from "node:test";
import { useCache } from "../../test/helpers/cache-area.ts";
import { FileHasher } from "../base/index.ts";
import type { TreeId } from "../cache/index.ts";
import { InodeSet } from "./inode-set.ts";
import { checkTree } from "./tree-check.ts";

test("a tree that another thread takes away before it is walked is no error", async () => {
  await using area = await useCache();
  const { layout } = area.cache;
  using hasher = new FileHasher({ signal: new AbortController().signal });
  const tree = { id: "a".repeat(64) as TreeId, inodes: 5, layers: [], isMarked: false };
  const outcome = await checkTree({ tree, layout, sound: new InodeSet(), wrong: new InodeSet(), hasher });
  assert.deepEqual(outcome, { says: "4 of its 5 entries are missing", unknownFiles: 0 });
});
