import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGoDuration } from "./go-duration.ts";

const durations: [text: string, ms: number | undefined][] = [
  ["30s", 30_000],
  ["1h2m3s4ms", 3_723_004],
  ["1.5h", 5_400_000],
  [".5s", 500],
  ["5m0s", 300_000],
  ["0", 0],
  ["0s", 0],
  ["-2s", -2000],
  ["+200ms", 200],
  ["1500us", 1.5],
  ["1500\u00b5s", 1.5],
  ["", undefined],
  ["-", undefined],
  ["5", undefined],
  ["5 s", undefined],
  ["s", undefined],
  ["1d", undefined],
  ["1s!", undefined],
];
for (const [text, ms] of durations)
  test(`duration ${JSON.stringify(text)}`, () => assert.equal(parseGoDuration(text), ms));
