import assert from "node:assert/strict";
import { test } from "node:test";
import { ByteRanges } from "../base/index.ts";
import { PartClaims } from "./part-claims.ts";

function use(size: number) {
  const there = new ByteRanges();
  return { there, claims: new PartClaims(() => there.gaps(size)) };
}

test("parts are claimed in order, none twice", () => {
  const { there, claims } = use(100);
  there.add({ start: 30, end: 45 });
  const taken = Array.from({ length: 6 }, () => claims.take(25));
  assert.deepEqual(taken, [
    { at: 0, end: 25 },
    { at: 25, end: 30 },
    { at: 45, end: 70 },
    { at: 70, end: 95 },
    { at: 95, end: 100 },
    undefined,
  ]);
});

test("what is given back, or cut off a claim, is claimed again", () => {
  const { there, claims } = use(100);
  const all = claims.take(Number.POSITIVE_INFINITY);
  assert.deepEqual([all, claims.take(10)], [{ at: 0, end: 100 }, undefined]);
  assert.ok(all);
  there.add({ start: 0, end: 20 });
  all.at = 20;
  all.end = 50;
  const next = claims.take(30);
  assert.deepEqual(
    [next, claims.take(30)],
    [
      { at: 50, end: 80 },
      { at: 80, end: 100 },
    ],
  );
  assert.ok(next);
  there.add({ start: 50, end: 60 });
  next.at = 60;
  claims.release(next);
  assert.deepEqual([claims.take(30), claims.take(30)], [{ at: 60, end: 80 }, undefined]);
});

test("a claim beside another's changes nothing for those who ask in order", () => {
  const { claims } = use(100);
  const all = claims.take(Number.POSITIVE_INFINITY);
  claims.add({ at: 40, end: 60 });
  assert.equal(claims.take(10), undefined);
  assert.ok(all);
  all.end = 40;
  assert.deepEqual(claims.take(100), { at: 60, end: 100 });
});
