import assert from "node:assert/strict";
import { test } from "node:test";
import { matchesGlob } from "./glob.ts";

const rows: readonly { pattern: string; yes: readonly string[]; no: readonly string[] }[] = [
  { pattern: "a.txt", yes: ["a.txt"], no: ["a_txt", "b/a.txt", "a.txt2", ""] },
  { pattern: "*.txt", yes: ["a.txt", ".txt", "..txt"], no: ["b/a.txt", "a.txt/b"] },
  { pattern: "*", yes: ["a", ".hidden", ""], no: ["a/b"] },
  { pattern: "**", yes: ["a", "a/b/c", ""], no: [] },
  { pattern: "models/**", yes: ["models/a", "models/a/b"], no: ["models", "xmodels/a"] },
  { pattern: "**/x", yes: ["x", "a/x", "a/b/x"], no: ["ax", "a/bx", "x/a"] },
  { pattern: "a/**/x", yes: ["a/x", "a/b/x", "a/b/c/x"], no: ["a/bx", "ax", "b/x"] },
  { pattern: "**.bin", yes: ["a.bin", "a/b.bin"], no: ["a.bin2"] },
  { pattern: "?.txt", yes: ["a.txt", "é.txt", "😀.txt"], no: ["ab.txt", "/.txt", ".txt"] },
  { pattern: "[a].txt", yes: ["[a].txt"], no: ["a.txt"] },
  { pattern: "a\\b", yes: ["a\\b"], no: ["ab", "a/b"] },
];

for (const row of rows) {
  test(`glob ${row.pattern}`, () => {
    for (const title of row.yes) assert.equal(matchesGlob(row.pattern, title), true, title);
    for (const title of row.no) assert.equal(matchesGlob(row.pattern, title), false, title);
  });
}

test("a pattern made to make matching slow is answered all the same", () => {
  assert.equal(matchesGlob("*a".repeat(60), "a".repeat(4000)), true);
  assert.equal(matchesGlob(`${"**a".repeat(60)}b`, "a".repeat(4000)), false);
});
