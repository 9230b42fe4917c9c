import assert from "node:assert/strict";
import { test } from "node:test";
import { blob, ranged, useBlob } from "../../test/registry-client/blob-bench.ts";
import type { ScriptedAnswer } from "../../test/registry-client/index.ts";

const rangeRefusals: { name: string; answer: ScriptedAnswer; requests: number }[] = [
  { name: "200 with everything", answer: { body: blob }, requests: 1 },
  { name: "416", answer: { status: 416 }, requests: 3 },
  { name: "404", answer: { status: 404 }, requests: 3 },
  { name: "401", answer: { status: 401 }, requests: 2 },
  { name: "429", answer: { status: 429 }, requests: 5 },
  { name: "501", answer: { status: 501 }, requests: 4 },
  { name: "a page", answer: { headers: { "content-type": "text/html" }, body: "<p>no" }, requests: 4 },
  { name: "200 with nothing", answer: {}, requests: 4 },
  {
    name: "another part",
    answer: { status: 206, headers: { "content-range": `bytes 0-99/${blob.length}` }, body: blob.subarray(0, 100) },
    requests: 3,
  },
  {
    name: "a part of another size",
    answer: { status: 206, headers: { "content-range": "bytes 1000-1999/2000" }, body: blob.subarray(0, 1000) },
    requests: 3,
  },
  {
    name: "an earlier part, up to the end",
    answer: {
      status: 206,
      headers: { "content-range": `bytes 500-${blob.length - 1}/${blob.length}` },
      body: blob.subarray(500),
    },
    requests: 3,
  },
  {
    name: "a crumb",
    answer: {
      status: 206,
      headers: { "content-range": `bytes 1000-1000/${blob.length}` },
      body: blob.subarray(1000, 1001),
    },
    requests: 3,
  },
  { name: "a part that says nothing", answer: { status: 206, body: blob.subarray(1000) }, requests: 3 },
];
for (const { name, answer, requests } of rangeRefusals) {
  test(`a range answered with ${name}: the blob in one piece`, async () => {
    await using bench = await useBlob((request) => (request.headers.range === undefined ? { body: blob } : answer));
    await bench.fetch({}, blob.subarray(0, 1000));
    assert.ok(bench.sink.bytes.equals(blob));
    assert.equal(bench.sink.restarts, 1);
    assert.equal(bench.server.seen.length, requests);
  });
}

test("a server that refuses one form of ranges is asked in the other", async () => {
  await using bench = await useBlob((request) => {
    const [, first] = /^bytes=(\d+)-$/.exec(request.headers.range ?? "") ?? [];
    if (first === undefined) return { status: 400 };
    const headers = { "content-range": `bytes ${first}-${blob.length - 1}/${blob.length}` };
    return { status: 206, headers, body: blob.subarray(Number(first)) };
  });
  const found = await bench.fetch({}, blob.subarray(0, 1000));
  assert.deepEqual([found.transferredBytes, bench.sink.restarts], [blob.length - 1000, 0]);
  assert.ok(bench.sink.bytes.equals(blob));
});

test("a server that gives less than was asked for is asked for the rest", async () => {
  await using bench = await useBlob((request) => {
    const [, first = ""] = /^bytes=(\d+)-/.exec(request.headers.range ?? "") ?? [];
    const end = Math.min(Number(first) + 1_000_000, blob.length);
    const headers = { "content-range": `bytes ${first}-${end - 1}/*` };
    return { status: 206, headers, body: blob.subarray(Number(first), end) };
  });
  await bench.fetch({}, blob.subarray(0, 1000));
  assert.ok(bench.sink.bytes.equals(blob));
  assert.deepEqual([bench.server.seen.length, bench.sink.restarts], [4, 0]);
});

test("a server that is down for a while has not refused ranges: what came stays", async () => {
  const down = { from: 1, to: 6 };
  await using bench = await useBlob((request, count) => {
    if (count > down.from && count <= down.to) return { status: 503 };
    const answer = ranged(request);
    if (count > 1) return answer;
    const headers = { "content-length": String(blob.length) };
    return { ...answer, headers, body: blob.subarray(0, 2_000_000), cut: true };
  });
  await bench.fetch();
  assert.ok(bench.sink.bytes.equals(blob));
  assert.equal(bench.sink.restarts, 0);
});

test("a server that says when to come again is left alone until then, and has not refused ranges", async () => {
  for (const status of [429, 503]) {
    const pauses: number[] = [];
    let answeredMs = 0;
    await using bench = await useBlob((request, count) => {
      if (count > 1) pauses.push(bench.clock.monotonicMs() - answeredMs);
      answeredMs = bench.clock.monotonicMs();
      return count < 4 ? { status, headers: { "retry-after": "6" } } : ranged(request);
    });
    await bench.fetch({}, blob.subarray(0, 1000));
    assert.deepEqual([pauses, bench.sink.restarts], [[6000, 6000, 6000], 0], `${status}`);
  }
});
