import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { describe, test } from "node:test";
import { ManualClock } from "../../test/registry-client/manual-clock.ts";
import { DriverError } from "../base/index.ts";
import { waitPatiently } from "./patience.ts";

function begin(timeoutMs: number, signal = new AbortController().signal) {
  const clock = new ManualClock();
  const work = Promise.withResolvers<string>();
  const patience = { deadlineMs: clock.monotonicMs() + timeoutMs, timeoutMs, signal };
  const late = () => new DriverError("in-progress", "not yet");
  const outcome = waitPatiently(work.promise, { patience, clock, late });
  return { clock, work, outcome, signal };
}

describe("how long is waited", () => {
  const rows = [
    { timeoutMs: 120_000, answeredAfterMs: 115_000 },
    { timeoutMs: 25_000, answeredAfterMs: 20_000 },
    { timeoutMs: 10_000, answeredAfterMs: 8_000 },
    { timeoutMs: 100, answeredAfterMs: 80 },
    { timeoutMs: 0, answeredAfterMs: 0 },
  ];
  for (const { timeoutMs, answeredAfterMs } of rows) {
    test(`${timeoutMs} ms`, async () => {
      const { clock, outcome } = begin(timeoutMs);
      let settled = false;
      outcome.catch(() => {
        settled = true;
      });
      if (answeredAfterMs > 0) {
        clock.advance(answeredAfterMs - 1);
        await new Promise(setImmediate);
        assert.equal(settled, false);
        clock.advance(1);
      } else clock.advance(0);
      await assert.rejects(outcome, { kind: "in-progress", message: "not yet" });
    });
  }

  test("a deadline that is over is answered at once", async () => {
    const { clock, outcome } = begin(-5_000);
    clock.advance(0);
    await assert.rejects(outcome, { kind: "in-progress" });
  });
});

test("what comes in time is passed on, and nothing is left behind", async () => {
  const { clock, work, outcome, signal } = begin(10_000);
  work.resolve("tree");
  assert.equal(await outcome, "tree");
  assert.equal(clock.pending, 0);
  assert.equal(getEventListeners(signal, "abort").length, 0);
});

test("a failure is passed on as it is", async () => {
  const { clock, work, outcome } = begin(10_000);
  const failure = new DriverError("not-found", "gone");
  work.reject(failure);
  await assert.rejects(outcome, failure);
  assert.equal(clock.pending, 0);
});

test("work that fails after its caller was answered disturbs nobody", async () => {
  const { clock, work, outcome } = begin(10_000);
  clock.advance(10_000);
  await assert.rejects(outcome, { kind: "in-progress" });
  work.reject(new Error("later"));
  await new Promise(setImmediate);
});

test("a caller that goes away stops waiting", async () => {
  const caller = new AbortController();
  const { clock, outcome } = begin(10_000, caller.signal);
  caller.abort(new Error("reset"));
  await assert.rejects(outcome, { kind: "cancelled", message: "the caller went away" });
  assert.equal(clock.pending, 0);
});

test("one that has gone already does not begin to, and a reason of the driver's own is told", async () => {
  const reason = new DriverError("in-progress", "the volume was unpublished meanwhile");
  const { clock, work, outcome } = begin(10_000, AbortSignal.abort(reason));
  work.reject(new Error("also"));
  await assert.rejects(outcome, reason);
  assert.equal(clock.pending, 0);
});
