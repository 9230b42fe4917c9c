import assert from "node:assert/strict";
import { test } from "node:test";
import type { Clock } from "../base/index.ts";
import { ageMs, momentAt } from "./moment.ts";

const HOUR_MS = 3_600_000;

/** A clock whose wall time can be set, as by NTP. */
function useClock() {
  const state = { wallMs: 1_000 * HOUR_MS, steadyMs: 5 };
  const clock: Clock = { now: () => state.wallMs, monotonicMs: () => state.steadyMs, after: () => assert.fail() };
  const pass = (ms: number) => {
    state.wallMs += ms;
    state.steadyMs += ms;
  };
  const jump = (ms: number) => {
    state.wallMs += ms;
  };
  return { clock, pass, jump };
}

test("an age is the time since, before and after it was read", () => {
  const { clock, pass } = useClock();
  const moment = momentAt(clock, clock.now() - HOUR_MS);
  assert.equal(ageMs(clock, moment), HOUR_MS);
  pass(500);
  assert.equal(ageMs(clock, moment), HOUR_MS + 500);
});

test("a time in the future is now", () => {
  const { clock, pass } = useClock();
  const moment = momentAt(clock, clock.now() + 100 * HOUR_MS);
  assert.equal(ageMs(clock, moment), 0);
  pass(500);
  assert.equal(ageMs(clock, moment), 0);
});

test("a jump ahead makes nothing old, a jump back nothing younger than new", () => {
  const { clock, pass, jump } = useClock();
  const moment = momentAt(clock, clock.now());
  jump(400 * 24 * HOUR_MS);
  assert.equal(ageMs(clock, moment), 0);
  pass(HOUR_MS);
  assert.equal(ageMs(clock, moment), HOUR_MS);
  jump(-800 * 24 * HOUR_MS);
  assert.equal(ageMs(clock, moment), 0);
});

test("what was read under a clock that was far ahead is right when the clock is", () => {
  const { clock, jump } = useClock();
  const written = clock.now() - HOUR_MS;
  jump(1_000 * 24 * HOUR_MS);
  const moment = momentAt(clock, written);
  jump(-1_000 * 24 * HOUR_MS);
  assert.equal(ageMs(clock, moment), HOUR_MS);
});
