import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { isKind } from "../../test/helpers/is-kind.ts";
import { PublishesInFlight } from "./publishes-in-flight.ts";
import { volumeKeyOf } from "./records.ts";

const KEY = volumeKeyOf("v", "/a");
const OTHER = volumeKeyOf("v", "/b");

/** A publish that runs until its signal fires, or until it is let go. */
function begin(publishes: PublishesInFlight, key = KEY) {
  const caller = new AbortController();
  const gate = Promise.withResolvers<string>();
  const outcome = publishes.run(key, caller.signal, (signal) => {
    signal.addEventListener("abort", () => gate.reject(signal.reason), { once: true });
    if (signal.aborted) gate.reject(signal.reason);
    return gate.promise;
  });
  return { caller, outcome, finish: () => gate.resolve("published") };
}

test("what a publish makes is passed on, and no listener is left", async () => {
  const publishes = new PublishesInFlight();
  const { caller, outcome, finish } = begin(publishes);
  finish();
  assert.equal(await outcome, "published");
  assert.equal(getEventListeners(caller.signal, "abort").length, 0);
  publishes.abort(KEY);
});

test("an unpublish ends all publishes of its volume and no other", async () => {
  const publishes = new PublishesInFlight();
  const ended = [begin(publishes), begin(publishes)];
  const other = begin(publishes, OTHER);
  const rejections = ended.map(({ outcome }) =>
    assert.rejects(outcome, isKind("in-progress", /unpublished meanwhile/)),
  );
  publishes.abort(KEY);
  await Promise.all(rejections);
  other.finish();
  assert.equal(await other.outcome, "published");
});

test("one of two publishes that ends leaves the other within reach", async () => {
  const publishes = new PublishesInFlight();
  const [first, second] = [begin(publishes), begin(publishes)];
  first.finish();
  await first.outcome;
  const rejection = assert.rejects(second.outcome, isKind("in-progress", /unpublished/));
  publishes.abort(KEY);
  await rejection;
});

test("a caller that goes away, or has gone already, ends its own publish only", async () => {
  const publishes = new PublishesInFlight();
  const [leaving, staying] = [begin(publishes), begin(publishes)];
  const rejection = assert.rejects(leaving.outcome, isKind("cancelled", /caller went away/));
  leaving.caller.abort(new Error("reset"));
  await rejection;
  staying.finish();
  assert.equal(await staying.outcome, "published");

  let seen = false;
  await publishes.run(KEY, AbortSignal.abort(new Error("gone")), (signal) => {
    seen = signal.aborted;
    return Promise.resolve();
  });
  assert.equal(seen, true);
});
