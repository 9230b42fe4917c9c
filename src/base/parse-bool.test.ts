import assert from "node:assert/strict";
import { test } from "node:test";
import { parseBool } from "./parse-bool.ts";

const spellings: [value: boolean | undefined, texts: string[]][] = [
  [true, ["1", "t", "T", "TRUE", "true", "True"]],
  [false, ["0", "f", "F", "FALSE", "false", "False"]],
  [undefined, ["", "yes", "no", "on", "off", "tRUE", "2", "01", " true", "true\n", "null", "undefined", "constructor"]],
];
for (const [value, texts] of spellings) {
  for (const text of texts) {
    test(`${JSON.stringify(text)} is ${value ?? "no boolean"}`, () => assert.equal(parseBool(text), value));
  }
}
