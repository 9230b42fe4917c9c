import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import {
  failsAs,
  type ScriptedAnswer,
  ScriptedServer,
  type SeenRequest,
  useClient,
} from "../../test/registry-client/index.ts";
import { DriverError } from "../base/index.ts";
import { type Descriptor, digestOf } from "../oci/index.ts";
import { anonymous, BlobProgress, type BlobQuery } from "./index.ts";

const blob = randomBytes(3 * 1024 * 1024);

function descriptorOf(bytes: Uint8Array, more: Partial<Descriptor> = {}): Descriptor {
  const none = { annotations: {}, platform: undefined, urls: [], data: undefined };
  return { mediaType: "x/y", digest: digestOf(bytes), size: bytes.length, ...none, ...more };
}

/** Takes a blob as the driver's ingest files do, and remembers how it came. */
class MemorySink {
  bytes = Buffer.alloc(0);
  restarts = 0;

  write(chunk: Buffer, offset: number): void {
    assert.equal(offset, this.bytes.length);
    this.bytes = Buffer.concat([this.bytes, chunk]);
  }

  read = (into: Buffer, offset: number): Promise<number> => Promise.resolve(this.bytes.copy(into, 0, offset));

  restart(): void {
    this.restarts++;
    this.bytes = Buffer.alloc(0);
  }
}

async function useBlob(answer: (request: SeenRequest, count: number) => ScriptedAnswer, bytes: Uint8Array = blob) {
  const sink = new MemorySink();
  const bench = await useClient((request) => answer(request, bench.server.seen.length));
  return Object.assign(bench, {
    sink,
    /** Fetches into the sink, after `prefix`. */
    fetch(more: Partial<BlobQuery> = {}, prefix?: Uint8Array) {
      if (prefix !== undefined) sink.bytes = Buffer.from(prefix);
      return bench.client.fetchBlob({
        repository: bench.query().repository,
        descriptor: descriptorOf(bytes),
        credential: anonymous,
        sink,
        ...(prefix === undefined
          ? {}
          : { progress: new BlobProgress(descriptorOf(bytes), [{ start: 0, end: prefix.length }]) }),
        ...more,
      });
    },
    ranges: () => bench.server.seen.map(({ headers }) => headers.range),
  });
}

/** A server that understands ranges as it should. */
function ranged({ headers }: SeenRequest, bytes: Buffer = blob): ScriptedAnswer {
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? "") ?? [];
  if (first === undefined) return { body: bytes };
  const headersOut = { "content-range": `bytes ${first}-${last}/${bytes.length}` };
  return { status: 206, headers: headersOut, body: bytes.subarray(Number(first), Number(last) + 1) };
}

test("a blob, verified while it streams", async () => {
  await using bench = await useBlob((request) => ranged(request));
  assert.deepEqual(await bench.fetch(), { transferredBytes: blob.length });
  assert.ok(bench.sink.bytes.equals(blob));
  assert.deepEqual(bench.server.lines, [`GET /v2/org/app/blobs/${digestOf(blob)} -`]);
});

test("sha512, and a blob of no bytes", async () => {
  await using bench = await useBlob((request) => ranged(request));
  await bench.fetch({ descriptor: descriptorOf(blob, { digest: digestOf(blob, "sha512") }) });
  await using empty = await useBlob(() => ({ body: "" }), Buffer.alloc(0));
  assert.deepEqual(await empty.fetch(), { transferredBytes: 0 });
});

const wrong: { name: string; answer: ScriptedAnswer; says: RegExp }[] = [
  { name: "other bytes", answer: { body: Buffer.alloc(blob.length) }, says: /another digest \(sha256:/ },
  { name: "a shorter blob", answer: { body: blob.subarray(1) }, says: /too short/ },
  { name: "a longer blob", answer: { body: Buffer.concat([blob, blob]) }, says: /too long/ },
  {
    name: "a longer blob, chunked",
    answer: { body: Buffer.concat([blob, blob]), headers: { "transfer-encoding": "chunked", "content-length": [] } },
    says: /longer than 3145728 bytes/,
  },
  {
    name: "a shorter blob, chunked",
    answer: { body: blob.subarray(1), headers: { "transfer-encoding": "chunked", "content-length": [] } },
    says: /shorter than 3145728 bytes/,
  },
];
for (const { name, answer, says } of wrong) {
  test(`corrupt: ${name}`, async () => {
    await using bench = await useBlob(() => answer);
    await assert.rejects(
      bench.fetch(),
      failsAs("corrupt", /^cannot fetch blob sha256:\w+ of \S+\/org\/app from /, says),
    );
    assert.ok(bench.sink.bytes.length <= blob.length, "never more than the blob's size");
    assert.equal(bench.server.seen.length, 1);
  });
}

const refused: { status: number; kind: "not-found" | "forbidden" | "unauthenticated" | "unavailable" }[] = [
  { status: 404, kind: "not-found" },
  { status: 403, kind: "forbidden" },
  { status: 401, kind: "unauthenticated" },
  { status: 400, kind: "unavailable" },
];
for (const { status, kind } of refused) {
  test(`refused with ${status}`, async () => {
    await using bench = await useBlob(() => ({ status, body: '{"errors":[{"code":"BLOB_UNKNOWN"}]}' }));
    await assert.rejects(bench.fetch(), failsAs(kind, new RegExp(`${status} .*BLOB_UNKNOWN`)));
  });
}

for (const status of [408, 429, 500, 502, 503, 504]) {
  test(`${status} passes`, async () => {
    await using bench = await useBlob((request, count) => (count < 3 ? { status } : ranged(request)));
    await bench.fetch();
    assert.equal(bench.server.seen.length, 3);
  });
}

test("what will not pass is not tried again", async () => {
  for (const status of [400, 401, 403, 404, 405, 410, 451]) {
    await using bench = await useBlob(() => ({ status }));
    await assert.rejects(bench.fetch());
    assert.equal(bench.server.seen.length, 1, `${status}`);
  }
});

test("a connection that breaks is gone on with where it broke", async () => {
  const breaks = [1_000_000, 1_100_000];
  await using bench = await useBlob((request, count) => {
    const answer = ranged(request);
    const length = breaks[count - 1];
    if (length === undefined) return answer;
    const body = (answer.body as Buffer).subarray(0, length);
    return {
      ...answer,
      body,
      cut: true,
      headers: { ...answer.headers, "content-length": String((answer.body as Buffer).length) },
    };
  });
  assert.deepEqual(await bench.fetch(), { transferredBytes: blob.length });
  assert.ok(bench.sink.bytes.equals(blob));
  assert.equal(bench.sink.restarts, 0);
  const last = blob.length - 1;
  assert.deepEqual(bench.ranges(), [undefined, `bytes=1000000-${last}`, `bytes=2100000-${last}`]);
});

test("a connection that breaks after the last byte is no failure", async () => {
  await using bench = await useBlob(() => ({ body: blob, cut: true, headers: { "transfer-encoding": "chunked" } }));
  assert.deepEqual(await bench.fetch(), { transferredBytes: blob.length });
  assert.equal(bench.server.seen.length, 1);
});

test("a blob of no bytes is asked for all the same", async () => {
  await using bench = await useBlob(() => ({ status: 503 }), Buffer.alloc(0));
  const nowhere = { registry: "127.0.0.1:1", repository: "org/app", transport: "http" } as const;
  await assert.rejects(bench.fetch({ repository: nowhere }), failsAs("unavailable", /connection refused/));
});

test("a host that moves is not given up: tries are counted from the last mebibyte", async () => {
  const big = randomBytes(9 * 1024 * 1024);
  await using bench = await useBlob((request) => {
    const answer = ranged(request, big);
    const body = answer.body as Buffer;
    if (body.length <= 1024 * 1024) return answer;
    const headers = { ...answer.headers, "content-length": String(body.length) };
    return { ...answer, headers, body: body.subarray(0, 1024 * 1024), cut: true };
  }, big);
  await bench.fetch();
  assert.ok(bench.sink.bytes.equals(big));
  assert.equal(bench.server.seen.length, 9);
});

test("one that does not move is given up after five tries", async () => {
  await using bench = await useBlob((request) => {
    const answer = ranged(request);
    const headers = { ...answer.headers, "content-length": String((answer.body as Buffer).length) };
    return { ...answer, headers, body: (answer.body as Buffer).subarray(0, 1000), cut: true };
  });
  await assert.rejects(bench.fetch(), failsAs("unavailable", /the connection was cut in mid-answer;/));
  assert.equal(bench.server.seen.length, 5);
});

test("a prefix is resumed", async () => {
  await using bench = await useBlob((request) => ranged(request));
  const found = await bench.fetch({}, blob.subarray(0, 1000));
  assert.deepEqual(found, { transferredBytes: blob.length - 1000 });
  assert.ok(bench.sink.bytes.equals(blob));
});

test("a prefix that is all of it needs no request", async () => {
  await using bench = await useBlob((request) => ranged(request));
  assert.deepEqual(await bench.fetch({}, blob), { transferredBytes: 0 });
  assert.equal(bench.server.seen.length, 0);
});

test("a wrong prefix is found out", async () => {
  await using bench = await useBlob((request) => ranged(request));
  await assert.rejects(bench.fetch({}, Buffer.alloc(1000)), failsAs("corrupt", /another digest/));
});

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

const page = "<html><body>Request has expired</body></html>";
const pages: { name: string; answer: ScriptedAnswer }[] = [
  { name: "403 of the edge", answer: { status: 403, body: page } },
  { name: "200 with a page", answer: { body: page, headers: { "content-type": "text/html" } } },
  {
    name: "200 with a page, chunked",
    answer: {
      body: page,
      headers: { "content-type": "text/html; charset=utf-8", "transfer-encoding": "chunked", "content-length": [] },
    },
  },
];
for (const { name, answer } of pages) {
  test(`a redirect that runs out in mid-blob, told by ${name}: a new one, on with the same offset`, async () => {
    let served = 0;
    await using edge = await ScriptedServer.start((request) => {
      if (request.url === "/signed?n=2") return answer;
      const whole = ranged(request);
      if (served++ > 0) return whole;
      const headers = { "content-length": String(blob.length) };
      return { ...whole, headers, body: blob.subarray(0, 2_000_000), cut: true };
    });
    await using bench = await useBlob((_, count) => {
      return { status: 307, headers: { location: `${edge.url}/signed?n=${count}` } };
    });
    assert.deepEqual(await bench.fetch(), { transferredBytes: blob.length });
    assert.ok(bench.sink.bytes.equals(blob));
    assert.deepEqual(
      edge.seen.map(({ url, headers }) => [url, headers.range]),
      [
        ["/signed?n=1", undefined],
        ["/signed?n=2", `bytes=2000000-${blob.length - 1}`],
        ["/signed?n=3", `bytes=2000000-${blob.length - 1}`],
      ],
    );
  });
}

const text = Buffer.from("a blob of text. ".repeat(1000));
const chunked = { "transfer-encoding": "chunked", "content-length": [] };
const codings: { name: string; bytes: Buffer; body: Buffer; headers: Record<string, string | string[]> }[] = [
  { name: "wrong", bytes: gzipSync(text), body: gzipSync(text), headers: {} },
  { name: "wrong, without a length", bytes: gzipSync(text), body: gzipSync(text), headers: chunked },
  { name: "true", bytes: text, body: gzipSync(text), headers: {} },
  { name: "true, without a length", bytes: text, body: gzipSync(text), headers: chunked },
  { name: "true of what is packed already", bytes: gzipSync(text), body: gzipSync(gzipSync(text)), headers: chunked },
  { name: "wrong of what is not packed", bytes: text, body: text, headers: chunked },
];
for (const { name, bytes, body, headers } of codings) {
  test(`a Content-Encoding that is ${name}: the reading whose digest fits`, async () => {
    const answer = { body, headers: { "content-encoding": "gzip", ...headers } };
    await using bench = await useBlob(() => answer, bytes);
    await bench.fetch();
    assert.ok(bench.sink.bytes.equals(bytes));
    assert.ok(bench.server.seen.length <= 2);
  });
}

test("a Content-Encoding that fits in no reading is corrupt", async () => {
  const headers = { "content-encoding": "gzip", ...chunked };
  await using bench = await useBlob(() => ({ body: gzipSync("another"), headers }), text);
  await assert.rejects(bench.fetch(), failsAs("corrupt"));
});

test("parts that are there are not fetched again", async () => {
  await using bench = await useBlob((request) => ranged(request));
  const there = [
    { start: 0, end: 1000 },
    { start: 5000, end: 9000 },
    { start: 2_000_000, end: blob.length },
  ];
  const file = Buffer.alloc(blob.length);
  for (const { start, end } of there) blob.copy(file, start, start, end);
  const hashed: number[] = [];
  const sink = {
    write: (chunk: Buffer, offset: number) => void chunk.copy(file, offset),
    restart: () => assert.fail("nothing is to be thrown away"),
    read: (into: Buffer, offset: number) => Promise.resolve(file.copy(into, 0, offset)),
    hashed: (bytes: number) => void hashed.push(bytes),
  };
  await bench.fetch({ sink, progress: new BlobProgress(descriptorOf(blob), there) });
  assert.ok(file.equals(blob));
  assert.deepEqual(bench.ranges(), ["bytes=1000-4999", "bytes=9000-1999999"]);
  assert.equal(hashed.at(-1), blob.length);
  assert.deepEqual(
    hashed,
    [...hashed].sort((a, b) => a - b),
  );
});

test("a sink's own error comes out as it is, and nothing is tried again", async () => {
  const full = new DriverError("no-space", "the disk is full");
  await using bench = await useBlob((request) => ranged(request));
  const sink = { write: () => Promise.reject(full), restart: () => undefined };
  await assert.rejects(bench.fetch({ sink }), (e) => e === full);
  assert.equal(bench.server.seen.length, 1);
});

test("a manifest need not wait until a blob is there", async () => {
  const limits = { connectionsPerHost: 1, smallConnectionsPerHost: 1 };
  const answer = ({ url }: SeenRequest) => ({ body: url.includes("/blobs/") ? blob : "{}" });
  await using bench = await useClient(answer, { limits });
  const begun = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const write = () => {
    begun.resolve();
    return gate.promise;
  };
  const { repository } = bench.query();
  const sink = { write, restart: () => undefined };
  const fetched = bench.client.fetchBlob({ repository, descriptor: descriptorOf(blob), credential: anonymous, sink });
  await begun.promise;
  await bench.client.fetchManifest(bench.query());
  gate.resolve();
  await fetched;
});

test("an abort in mid-blob", async () => {
  const controller = new AbortController();
  const reason = new DriverError("cancelled", "nobody wants it");
  await using bench = await useBlob((request) => ranged(request));
  const sink = { write: () => controller.abort(reason), restart: () => undefined };
  await assert.rejects(bench.fetch({ sink, signal: controller.signal }), (e) => e === reason);
});
