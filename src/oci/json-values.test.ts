import assert from "node:assert/strict";
import { test } from "node:test";
import { countJsonValues } from "./json-values.ts";

const rows: readonly (readonly [text: string, count: number])[] = [
  ["", 0],
  ["1", 0],
  ["{}", 1],
  ["[1, 2, 3]", 3],
  ['{"a": {"b": [null, ""]}, "c": 1}', 5],
  ['"[{,"', 0],
  ['["\\"[,", "\\\\", 1]', 3],
  ['["\\\\",[]]', 3],
  ['["\u00fc,\u2603[", 1]', 2],
  ['["never ends, [ \\"', 1],
  ['"\\', 0],
];
for (const [text, count] of rows) {
  test(`${text} has ${count} values`, () => assert.equal(countJsonValues(Buffer.from(text)), count));
}
