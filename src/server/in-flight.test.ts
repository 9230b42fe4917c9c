import assert from "node:assert/strict";
import { test } from "node:test";
import { InFlight } from "./in-flight.ts";

test("idle waits for everything that began, and ends count once", async () => {
  const calls = new InFlight();
  await calls.idle();
  const [endFirst, endSecond] = [calls.begin(), calls.begin()];
  let idle = false;
  const waiting = calls.idle().then(() => (idle = true));
  endFirst();
  endFirst();
  assert.equal(calls.count, 1);
  await new Promise(setImmediate);
  assert.equal(idle, false);
  endSecond();
  await waiting;
  assert.equal(calls.count, 0);
});
