import assert from "node:assert/strict";
import { test } from "node:test";
import { RecentMap } from "./recent-map.ts";

test("what was neither asked for nor set for longest goes when there are too many", () => {
  const map = new RecentMap<string, number>(2);
  map.set("a", 1);
  map.set("b", 2);
  assert.equal(map.get("a"), 1);
  map.set("c", 3);
  assert.deepEqual([map.get("a"), map.get("b"), map.get("c")], [1, undefined, 3]);
});

test("a key that is set again has its new value, and counts once", () => {
  const map = new RecentMap<string, number>(2);
  for (const value of [1, 2, 3]) map.set("a", value);
  map.set("b", 1);
  assert.deepEqual([map.get("a"), map.get("b")], [3, 1]);
});

test("what is taken out is gone", () => {
  const map = new RecentMap<string, number>(2);
  map.set("a", 1);
  map.set("b", 2);
  map.delete("a");
  assert.deepEqual([map.get("a"), map.get("b")], [undefined, 2]);
  map.clear();
  assert.equal(map.get("b"), undefined);
});
