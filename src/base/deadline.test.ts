import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../test/registry-client/manual-clock.ts";
import { Deadline } from "./deadline.ts";

test("what is set happens when its time is over, once", () => {
  const { clock, deadline, due } = useDeadline();
  deadline.set(100, () => due.push("a"));
  clock.advance(99);
  assert.equal(due.join(), "");
  clock.advance(1);
  clock.advance(1000);
  assert.equal(due.join(), "a");
});

test("what is set later takes the place of what was set before, sooner or later than it", () => {
  const { clock, deadline, due } = useDeadline();
  deadline.set(100, () => due.push("a"));
  clock.advance(50);
  deadline.set(100, () => due.push("b"));
  clock.advance(99);
  assert.equal(due.join(), "");
  clock.advance(1);
  assert.equal(due.join(), "b");
  deadline.set(100, () => due.push("c"));
  deadline.set(10, () => due.push("d"));
  clock.advance(10);
  clock.advance(100);
  assert.equal(due.join(), "b,d");
});

test("setting it again and again touches one timer only", () => {
  const { clock, deadline, due } = useDeadline();
  for (let i = 0; i < 10; i++) {
    deadline.set(100, () => due.push("a"));
    deadline.clear();
  }
  assert.equal(clock.pending, 1);
  clock.advance(100);
  assert.equal(due.join(), "");
  assert.equal(clock.pending, 0);
  deadline.set(100, () => due.push("b"));
  clock.advance(100);
  assert.equal(due.join(), "b");
});

test("after its end nothing is left, and it may be set again", () => {
  const { clock, deadline, due } = useDeadline();
  deadline.set(100, () => due.push("a"));
  deadline.end();
  assert.equal(clock.pending, 0);
  deadline.set(200, () => due.push("b"));
  clock.advance(200);
  assert.equal(due.join(), "b");
});

function useDeadline() {
  const clock = new ManualClock();
  const due: string[] = [];
  return { clock, deadline: new Deadline(clock), due };
}
