import assert from "node:assert/strict";
import { test } from "node:test";
import { RecentKeys } from "./recent-keys.ts";

test("keys are remembered with their time", () => {
  const keys = new RecentKeys(10);
  keys.note(5, "a", "b");
  assert.equal(keys.get("a", "b"), 5);
  assert.equal(keys.get("ab"), undefined);
});

test("the key noted longest ago goes first", () => {
  const keys = new RecentKeys(2);
  keys.note(1, "a");
  keys.note(2, "b");
  keys.note(3, "a");
  keys.note(4, "c");
  assert.deepEqual([keys.get("a"), keys.get("b"), keys.get("c")], [3, undefined, 4]);
});
