import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { soon } from "../../test/helpers/soon.ts";
import { blob, descriptorOf, MemorySink, ranged, useBlob } from "../../test/registry-client/blob-bench.ts";
import {
  failsAs,
  RawServer,
  type ScriptedAnswer,
  ScriptedServer,
  type SeenRequest,
  useClient,
} from "../../test/registry-client/index.ts";
import { DriverError } from "../base/index.ts";
import { digestOf } from "../oci/index.ts";
import { anonymous, BlobProgress } from "./index.ts";

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
/** Zstd of a few bytes, with a window of 2^`windowLog` bytes, a size that no header tells (RFC 8878, 3.1.1). */
function zstdWith(windowLog: number, bytes: Buffer): Buffer {
  const block = Buffer.alloc(3);
  block.writeUIntLE(bytes.length * 8 + 1, 0, 3);
  return Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, (windowLog - 10) * 8]), block, bytes]);
}
const zstd = { "content-encoding": "zstd", ...chunked };
codings.push({ name: "zstd with the largest window", bytes: text, body: zstdWith(23, text), headers: zstd });

for (const { name, bytes, body, headers } of codings) {
  test(`a Content-Encoding that is ${name}: the reading whose digest fits`, async () => {
    const answer = { body, headers: { "content-encoding": "gzip", ...headers } };
    await using bench = await useBlob(() => answer, bytes);
    await bench.fetch();
    assert.ok(bench.sink.bytes.equals(bytes));
    assert.ok(bench.server.seen.length <= 2);
  });
}

test("a Content-Encoding whose window would take more memory than HTTP allows is corrupt", async () => {
  await using bench = await useBlob(() => ({ body: zstdWith(24, text), headers: zstd }), text);
  await assert.rejects(bench.fetch(), failsAs("corrupt"));
});

test("of blobs that come encoded four are decoded at once", async () => {
  const release = Promise.withResolvers<void>();
  const packed = gzipSync(blob.subarray(0, 300_000));
  await using server = await RawServer.start(async (peer) => {
    await peer.readRequest();
    const head = ["HTTP/1.1 200 OK", "Connection: close", "Content-Encoding: gzip", `Content-Length: ${packed.length}`];
    peer.socket.write(`${head.join("\r\n")}\r\n\r\n`);
    peer.socket.write(packed.subarray(0, 200_000));
    await release.promise;
    peer.socket.write(packed.subarray(200_000));
  });
  await using bench = await useBlob(() => ({}), blob.subarray(0, 300_000));
  const repository = { registry: `127.0.0.1:${server.port}`, repository: "org/app", transport: "http" } as const;
  const sinks = Array.from({ length: 5 }, () => new MemorySink());
  const fetches = sinks.map((sink) => bench.fetch({ repository, sink }));
  const begun = () => sinks.filter(({ bytes }) => bytes.length > 100_000).length;
  await soon(async () => assert.deepEqual([begun(), server.peers.length], [4, 5]));
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(begun(), 4);
  release.resolve();
  await Promise.all(fetches);
  // A server would cut a connection that nobody reads, and each time that would count as a failed try.
  assert.equal(server.peers.length, 6, "who waited has held no connection, and asks anew");
  for (const { bytes } of sinks) assert.ok(bytes.equals(blob.subarray(0, 300_000)));
});

test("a Content-Encoding that fits in no reading is corrupt", async () => {
  const headers = { "content-encoding": "gzip", ...chunked };
  await using bench = await useBlob(() => ({ body: gzipSync("another"), headers }), text);
  await assert.rejects(bench.fetch(), failsAs("corrupt"));
});

for (const [name, more] of [
  ["after the encoded blob", Buffer.alloc(4 * 1024 * 1024)],
  ["of nothing", Buffer.concat(Array<Buffer>(200_000).fill(gzipSync("")))],
] as const) {
  test(`a Content-Encoding with far too much ${name} is corrupt`, async () => {
    const headers = { "content-encoding": "gzip", ...chunked };
    await using bench = await useBlob(() => ({ body: Buffer.concat([gzipSync(text), more]), headers }), text);
    await assert.rejects(bench.fetch(), failsAs("corrupt", /longer than 16000 bytes/));
  });
}

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
