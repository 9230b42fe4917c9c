import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { test } from "node:test";
import { ByteRanges } from "./byte-ranges.ts";

test("nothing is there at first", () => {
  const ranges = new ByteRanges();
  assert.deepEqual([ranges.total, ranges.prefix, ranges.list()], [0, 0, []]);
  assert.deepEqual(ranges.gaps(5), [{ start: 0, end: 5 }]);
  assert.deepEqual(ranges.gaps(0), []);
});

test("ranges that touch or overlap become one", () => {
  const ranges = new ByteRanges([
    { start: 20, end: 30 },
    { start: 0, end: 10 },
    { start: 5, end: 5 },
  ]);
  assert.deepEqual([ranges.total, ranges.prefix], [20, 10]);
  assert.deepEqual(ranges.gaps(40), [
    { start: 10, end: 20 },
    { start: 30, end: 40 },
  ]);
  ranges.add({ start: 10, end: 20 });
  assert.deepEqual(ranges.list(), [{ start: 0, end: 30 }]);
  ranges.add({ start: 25, end: 50 });
  assert.deepEqual([ranges.prefix, ranges.gaps(40)], [50, []]);
  ranges.clear();
  assert.equal(ranges.total, 0);
});

test("a list stays as it was", () => {
  const ranges = new ByteRanges([{ start: 0, end: 10 }]);
  const before = ranges.list();
  ranges.add({ start: 10, end: 20 });
  assert.deepEqual([before, ranges.list()], [[{ start: 0, end: 10 }], [{ start: 0, end: 20 }]]);
});

test("any order of any ranges says the same as a list of bytes", () => {
  for (let round = 0; round < 200; round++) {
    const ranges = new ByteRanges();
    const there = new Set<number>();
    for (let i = 0; i < 12; i++) {
      const start = randomInt(60);
      const end = start + randomInt(10);
      ranges.add({ start, end });
      for (let at = start; at < end; at++) there.add(at);
    }
    const listed = ranges.list().flatMap(({ start, end }) => Array.from({ length: end - start }, (_, i) => start + i));
    assert.deepEqual(
      listed,
      [...there].sort((a, b) => a - b),
    );
    const missing = ranges
      .gaps(50)
      .flatMap(({ start, end }) => Array.from({ length: end - start }, (_, i) => start + i));
    assert.deepEqual(
      missing,
      Array.from({ length: 50 }, (_, at) => at).filter((at) => !there.has(at)),
    );
    assert.equal(ranges.total, there.size);
  }
});
