import assert from "node:assert/strict";
import { test } from "node:test";
import { LayerPace, type LayerSteps } from "./layer-pace.ts";
import { UNPACK_PLACES } from "./unpack-places.ts";

/** Layers that are begun in order, and how far each is. */
function begin(pace: LayerPace, count: number, signal = new AbortController().signal) {
  const steps: LayerSteps[] = [];
  const ends: PromiseWithResolvers<void>[] = [];
  const runs = Array.from({ length: count }, () =>
    pace.run(signal, (how) => {
      steps.push(how);
      const end = Promise.withResolvers<void>();
      ends.push(end);
      return end.promise;
    }),
  );
  return { steps, ends, runs };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

test("another layer is fetched while those that came are unpacked, as long as it can be unpacked beside them", async () => {
  const { steps } = begin(new LayerPace(2), 8);
  await settled();
  assert.equal(steps.length, 2);
  for (let fetched = 1; fetched <= UNPACK_PLACES; fetched++) {
    steps[fetched - 1]?.onFetched();
    await settled();
    assert.equal(steps.length, Math.min(fetched + 2, UNPACK_PLACES));
  }
  steps[0]?.onUnpacked();
  await settled();
  assert.equal(steps.length, UNPACK_PLACES + 1);
});

test("no more layers than are fetched at once are unpacked where that is more than there are places", async () => {
  const { steps } = begin(new LayerPace(UNPACK_PLACES + 1), 8);
  await settled();
  steps[0]?.onFetched();
  await settled();
  assert.equal(steps.length, UNPACK_PLACES + 1);
  steps[0]?.onUnpacked();
  await settled();
  assert.equal(steps.length, UNPACK_PLACES + 2);
});

test("a layer that ends gives back what it had, whatever it told", async () => {
  const { steps, ends, runs } = begin(new LayerPace(1), 3);
  await settled();
  ends[0]?.reject(new Error("no"));
  await assert.rejects(runs[0] ?? Promise.resolve(), /no/);
  await settled();
  steps[1]?.onFetched();
  ends[1]?.resolve();
  await runs[1];
  await settled();
  assert.equal(steps.length, 3);
});

test("who waits for a turn is let go by the signal", async () => {
  const stop = new AbortController();
  const pace = new LayerPace(1);
  const first = begin(pace, 1, stop.signal);
  const { runs } = begin(pace, 2, stop.signal);
  await settled();
  stop.abort(new Error("enough"));
  for (const run of runs) await assert.rejects(run, /enough/);
  first.ends[0]?.resolve();
  await first.runs[0];
  const next = begin(pace, 1);
  await settled();
  assert.equal(next.steps.length, 1);
});
