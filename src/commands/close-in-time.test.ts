import assert from "node:assert/strict";
import { test } from "node:test";
import { useLog } from "../../test/helpers/log-lines.ts";
import { ManualClock } from "../../test/registry-client/manual-clock.ts";
import { closeInTime } from "./close-in-time.ts";

function useDriver() {
  const closed = Promise.withResolvers<void>();
  const exits: number[] = [];
  return { closed, exits, close: () => closed.promise, exit: (code: number) => void exits.push(code) };
}

test("a driver that closes is given a moment to end by itself", async () => {
  const [driver, clock, { log, lines }] = [useDriver(), new ManualClock(), useLog()];
  const done = closeInTime(driver, { clock, log });
  clock.advance(10_000);
  driver.closed.resolve();
  await done;
  assert.deepEqual(driver.exits, []);
  clock.advance(1_000);
  assert.deepEqual([driver.exits, lines], [[0], []]);
  clock.advance(60_000);
  assert.deepEqual(driver.exits, [0]);
});

test("a driver whose closing fails ends all the same, and says that it failed", async () => {
  const [driver, clock, { log }] = [useDriver(), new ManualClock(), useLog()];
  const done = closeInTime(driver, { clock, log });
  driver.closed.reject(new Error("the lock is gone"));
  await assert.rejects(done, /the lock is gone/);
  clock.advance(1_000);
  clock.advance(60_000);
  assert.deepEqual(driver.exits, [1]);
});

test("a driver whose closing hangs is ended before kubelet kills it, and the log says so", () => {
  const [driver, clock, { log, lines }] = [useDriver(), new ManualClock(), useLog()];
  void closeInTime(driver, { clock, log });
  clock.advance(24_999);
  assert.deepEqual(driver.exits, []);
  clock.advance(1);
  assert.deepEqual(driver.exits, [0]);
  assert.deepEqual(
    lines.map(({ level, seconds }) => [level, seconds]),
    [["warn", 25]],
  );
});
