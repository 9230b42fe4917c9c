import assert from "node:assert/strict";
import { test } from "node:test";
import type { ListedTree } from "../admin/index.ts";
import type { TreeId } from "../cache/index.ts";
import { treesText } from "./cache-report.ts";

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
