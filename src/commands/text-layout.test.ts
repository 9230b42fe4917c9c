import assert from "node:assert/strict";
import { test } from "node:test";
import { fitted, wrapped } from "./text-layout.ts";

test("what fits is shown as it is", () => {
  assert.equal(fitted("a ", "b/c d.txt", " e"), "a b/c d.txt e");
});

test("of what does not fit, the middle is left out", () => {
  const line = fitted("start ", `first${"x".repeat(10_000)}last`, " end");
  assert.ok(line.length <= 80 && line.length > 75, line);
  assert.match(line, /^start firstx+…x+last end$/);
});

test("nothing moves the cursor, and no line is longer for it", () => {
  assert.equal(fitted("", "a\u001b[2J\n\u202eb"), "a\\u{1b}[2J\\u{a}\\u{202e}b");
  for (const text of ["\u001b".repeat(300), "\u{e0001}".repeat(50)]) assert.ok(fitted("", text).length <= 80);
});

test("lists are broken between their items", () => {
  const items = Array.from({ length: 20 }, (_, i) => `linux/platform-${i}`);
  const lines = wrapped("Platforms: ", items);
  for (const line of lines) assert.ok(line.length <= 80, line);
  assert.equal(lines.map((line, at) => (at === 0 ? line : line.slice(2))).join(" "), `Platforms: ${items.join(", ")}`);
  assert.ok(wrapped("", ["x".repeat(500)]).every((line) => line.length <= 80));
  assert.deepEqual(wrapped("None: ", []), ["None:"]);
});
