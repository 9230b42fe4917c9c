import assert from "node:assert/strict";
import { test } from "node:test";
import type { ListedTree } from "../admin/index.ts";
import type { TreeId } from "../cache/index.ts";
import { pruneText, treesText, verifyText } from "./cache-report.ts";

const tree: ListedTree = {
  id: "a".repeat(64) as TreeId,
  manifest: `sha256:${"b".repeat(64)}`,
  references: [],
  sizeBytes: 1,
  inodes: 1,
  createdAt: null,
  lastUsedAt: "2026-01-01T00:00:00Z",
  volumes: 0,
  leases: 0,
  pinned: false,
  damage: null,
};

const rows: [references: string[], shown: string][] = [
  [[], "-"],
  [["ghcr.io/x:v1"], "ghcr.io/x:v1"],
  [["ghcr.io/x:v1", "ghcr.io/x:v2", "ghcr.io/y:v3"], "ghcr.io/y:v3 +2"],
];
for (const [references, shown] of rows) {
  test(`a tree of ${references.length} references is listed as ${shown}`, () => {
    const [, line = ""] = treesText([{ ...tree, references }], Date.parse(tree.lastUsedAt)).split("\n");
    assert.equal(line.split(/ {2,}/)[1], shown);
  });
}

test("one tree that was removed or is left is told as one", () => {
  assert.equal(pruneText({ trees: 1, freedBytes: 2000, left: 0 }), "removed 1 tree, 2.0 kB; 0 trees are left\n");
  assert.equal(pruneText({ trees: 2, freedBytes: 2000, left: 1 }), "removed 2 trees, 2.0 kB; 1 tree is left\n");
});

test("one thing of each kind that was verified is told as one", () => {
  const verified = (count: number) => {
    const counts = { blobs: count, layers: count, olderLayers: count, trees: count, bytes: 2000, unknownFiles: count };
    return verifyText({ counts, faults: [], mended: [], left: [] }).split("\n");
  };
  assert.deepEqual(verified(1), [
    "1 unpacked layer is of an older driver: it is fetched anew when it is needed",
    "1 file cannot be verified: the layer that it came from is gone, or of an older driver",
    "read 2.0 kB: 1 blob, 1 unpacked layer, 1 tree: all as it should be",
    "",
  ]);
  assert.deepEqual(verified(2), [
    "2 unpacked layers are of an older driver: each is fetched anew when it is needed",
    "2 files cannot be verified: the layers that they came from are gone, or of an older driver",
    "read 2.0 kB: 2 blobs, 2 unpacked layers, 2 trees: all as it should be",
    "",
  ]);
});
