import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { digestOf } from "../oci/index.ts";
import { isFiltered, type Selection, treeIdOf } from "./selection.ts";

const manifest = digestOf(Buffer.from("manifest"));
const select = (mediaTypes: readonly string[], titles: readonly string[]): Selection => ({ mediaTypes, titles });

describe("the tree's id", () => {
  const rows: readonly { name: string; one: Selection; other: Selection; same: boolean }[] = [
    { name: "order", one: select(["a", "b"], ["c", "d"]), other: select(["b", "a"], ["d", "c"]), same: true },
    { name: "repetition", one: select(["a", "a"], []), other: select(["a"], []), same: true },
    { name: "the kind of filter", one: select(["a"], []), other: select([], ["a"]), same: false },
    { name: "the line between two", one: select(["a,b"], []), other: select(["a", "b"], []), same: false },
    { name: "a filter and none", one: select([], ["**"]), other: select([], []), same: false },
  ];
  for (const { name, one, other, same } of rows) {
    test(`${name}: ${same ? "the same" : "another one"}`, () => {
      assert.equal(treeIdOf(manifest, one) === treeIdOf(manifest, other), same);
    });
  }
  test("another manifest is another tree", () => {
    assert.notEqual(treeIdOf(manifest, select([], [])), treeIdOf(digestOf(Buffer.from("other")), select([], [])));
  });
  test("it is fit for a file's name, and stays what it was: trees on disk are found by it", () => {
    const expected = "afac2af184a2131ed377d948412d9da2ad39ecf247ab0543ea27b57f36891f99";
    assert.equal(treeIdOf(manifest, select(["x"], ["y"])), expected);
  });
});

test("an empty selection filters nothing", () => {
  assert.deepEqual([select([], []), select(["a"], []), select([], ["a"])].map(isFiltered), [false, true, true]);
});
