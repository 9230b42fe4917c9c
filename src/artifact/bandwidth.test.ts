import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../test/registry-client/manual-clock.ts";
import { Bandwidth } from "./bandwidth.ts";

const never = new AbortController().signal;

test("all who take share what there is a second", async () => {
  const clock = new ManualClock();
  const bandwidth = new Bandwidth(1000, clock);
  assert.equal(bandwidth.take(250, never), undefined, "a burst");
  const settled: string[] = [];
  const follow = (name: string, wait: Promise<void> | undefined) => wait?.then(() => settled.push(name));
  follow("first", bandwidth.take(500, never));
  follow("second", bandwidth.take(500, never));
  const at = async (ms: number) => {
    clock.advance(ms);
    await new Promise((resolve) => setImmediate(resolve));
    return settled.join(" ");
  };
  assert.equal(await at(499), "");
  assert.equal(await at(1), "first");
  assert.equal(await at(499), "first");
  assert.equal(await at(1), "first second");
  await at(10_000);
  assert.equal(bandwidth.take(250, never), undefined);
  assert.ok(bandwidth.take(1, never), "what was not taken long ago is not made up for");
});

test("who gives up waits no longer", async () => {
  const bandwidth = new Bandwidth(1, new ManualClock());
  const caller = new AbortController();
  const waiting = bandwidth.take(1000, caller.signal);
  caller.abort(new Error("gone"));
  await assert.rejects(waiting ?? Promise.resolve(), /gone/);
});
