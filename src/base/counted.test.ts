import assert from "node:assert/strict";
import { test } from "node:test";
import { counted } from "./index.ts";

test("what is counted is one, or many", () => {
  assert.deepEqual(
    [0, 1, 2].map((count) => counted(count, "tree")),
    ["0 trees", "1 tree", "2 trees"],
  );
  assert.equal(counted(1, "entry", "entries"), "1 entry");
  assert.equal(counted(3, "entry", "entries"), "3 entries");
});
