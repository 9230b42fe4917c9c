import assert from "node:assert/strict";
import { test } from "node:test";
import { ConnectionGrowth, type DownloadSample } from "./connection-growth.ts";

const MB = 1e6;

/** Connections over time where each brings 50 MB/s, up to `linkMBs` together. */
function grow(more: Partial<DownloadSample> = {}, { linkMBs = 10_000, ticks = 6 } = {}): number[] {
  const growth = new ConnectionGrowth();
  let connections = 1;
  let receivedBytes = 0;
  return Array.from({ length: ticks }, (_, i) => {
    const sample = {
      nowMs: i * 250,
      receivedBytes,
      leftBytes: 5000 * MB,
      connections,
      threadLoad: 0.1,
      sinkWaited: false,
    };
    connections = growth.wanted({ ...sample, ...more });
    receivedBytes += Math.min(linkMBs, connections * 50) * MB * 0.25;
    return connections;
  });
}

test("while one connection is what limits, there are more and more, up to eight", () => {
  assert.deepEqual(grow(), [1, 1, 2, 4, 8, 8]);
});

test("a network that gives no more gets no more", () => {
  assert.deepEqual(grow({}, { linkMBs: 55 }), [1, 1, 2, 2, 2, 2]);
  assert.deepEqual(grow({}, { linkMBs: 150 }), [1, 1, 2, 4, 8, 8]);
});

test("one slow moment is no reason", () => {
  const growth = new ConnectionGrowth();
  const loads = [0.9, 0.9, 0.1, 0.9, 0.1, 0.9, 0.1, 0.1];
  const wanted = loads.map((threadLoad, i) =>
    growth.wanted({
      nowMs: i * 250,
      receivedBytes: i * 100 * MB,
      leftBytes: 5000 * MB,
      connections: 1,
      threadLoad,
      sinkWaited: false,
    }),
  );
  assert.deepEqual(wanted, [1, 1, 1, 1, 1, 1, 1, 2]);
});

for (const [name, more] of [
  ["a busy thread or disk", { threadLoad: 0.9 }],
  ["a limit on the bandwidth", { sinkWaited: true }],
  ["what is nearly done", { leftBytes: 20 * MB }],
  ["a connection that brings nothing", { receivedBytes: 7 }],
] as const) {
  test(`${name} gets no help`, () => {
    assert.deepEqual(grow(more), [1, 1, 1, 1, 1, 1]);
  });
}
