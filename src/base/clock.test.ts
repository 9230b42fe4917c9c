import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { ManualClock } from "../../test/registry-client/manual-clock.ts";
import { sleep, systemClock } from "./clock.ts";

test("sleep ends at its time", async () => {
  const clock = new ManualClock();
  const controller = new AbortController();
  let slept = false;
  const sleeping = sleep(clock, 100, controller.signal).then(() => {
    slept = true;
  });
  clock.advance(99);
  await Promise.resolve();
  assert.equal(slept, false);
  clock.advance(1);
  await sleeping;
  assert.equal(getEventListeners(controller.signal, "abort").length, 0);
});

test("a signal ends a sleep, and its timer goes", async () => {
  const clock = new ManualClock();
  const controller = new AbortController();
  const sleeping = sleep(clock, 100, controller.signal);
  const reason = new Error("enough");
  controller.abort(reason);
  await assert.rejects(sleeping, reason);
  assert.equal(clock.pending, 0);
  assert.equal(getEventListeners(controller.signal, "abort").length, 0);
});

test("a signal that fired before lets nobody sleep", async () => {
  const clock = new ManualClock();
  const reason = new Error("enough");
  await assert.rejects(sleep(clock, 100, AbortSignal.abort(reason)), reason);
  assert.equal(clock.pending, 0);
});

test("the machine's clock: both times go on, timers fire and can be cancelled", async () => {
  const [wall, mono] = [systemClock.now(), systemClock.monotonicMs()];
  const cancel = systemClock.after(0, () => assert.fail("it was cancelled"));
  cancel();
  cancel();
  await sleep(systemClock, 5, new AbortController().signal);
  assert.ok(systemClock.monotonicMs() > mono);
  assert.ok(Math.abs(systemClock.now() - wall) < 60_000);
});

test("a timer may be longer than setTimeout's longest", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const longest = 0x7fffffff;
  let ran = 0;
  systemClock.after(2 * longest + 10, () => ran++);
  const cancelled = systemClock.after(2 * longest, () => assert.fail("it was cancelled"));
  t.mock.timers.tick(longest);
  t.mock.timers.tick(longest - 1);
  cancelled();
  t.mock.timers.tick(1);
  t.mock.timers.tick(9);
  assert.equal(ran, 0);
  t.mock.timers.tick(1);
  assert.equal(ran, 1);
});

const clock = JSON.stringify(new URL("./clock.ts", import.meta.url).href);
const holds: [name: string, statement: string, printed: string][] = [
  ["a sleep that a signal may end", "await sleep(systemClock, 50, new AbortController().signal);", "end\n"],
  ["a timer that holds", "await new Promise((run) => systemClock.after(50, run, 'hold-process'));", "end\n"],
  ["a plain timer does not", "await new Promise((run) => systemClock.after(600_000, run));", ""],
  ["a plain sleep does not", "await sleep(systemClock, 600_000);", ""],
];
for (const [name, statement, printed] of holds) {
  test(`what keeps the process alive: ${name}`, () => {
    const script = `import { sleep, systemClock } from ${clock}; ${statement} process.stdout.write("end\\n");`;
    const { stdout } = spawnSync(process.execPath, ["--input-type=module", "--eval", script], { encoding: "utf8" });
    assert.equal(stdout, printed);
  });
}
