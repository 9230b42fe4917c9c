import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import { type EmbeddedRegistryOptions, EmbeddedRegistry, type Fault } from "../../test/registry/index.ts";
import { createLogger, systemClock } from "../base/index.ts";
import type { Digest } from "../oci/index.ts";
import {
  anonymous,
  BlobProgress,
  createRegistryClient,
  onceMoreIfCorrupt,
  type RegistryClientOptions,
} from "./index.ts";

const MIB = 1024 * 1024;
const SIZE = 72 * MIB;
/** At which one connection would take long. */
const SLOW = { bytesPerSecond: 12 * MIB };
const blob = randomBytes(SIZE);
const digest = `sha256:${createHash("sha256").update(blob).digest("hex")}` as Digest;
const log = createLogger({ level: "silent", format: "json", write: () => undefined });

/** A registry with one large blob, and a file in memory that it is fetched into. */
async function use(options: EmbeddedRegistryOptions = {}, more: Partial<RegistryClientOptions> = {}) {
  const registry = await EmbeddedRegistry.start({ ...SLOW, ...options });
  registry.content.putBlob("team/thing", digest, blob);
  const how = { clock: systemClock, log, caCertificates: [], userAgent: "test", threadLoad: () => 0 };
  const client = createRegistryClient({ ...how, ...more });
  const file = Buffer.alloc(SIZE);
  const progress = new BlobProgress({ digest, size: SIZE });
  let restarts = 0;
  const sink = {
    write: (chunk: Buffer, offset: number): void | Promise<void> => void chunk.copy(file, offset),
    restart: () => {
      restarts++;
      progress.restart();
      file.fill(0);
    },
    read: (into: Buffer, offset: number) => Promise.resolve(file.copy(into, 0, offset)),
  };
  const query = {
    repository: { registry: registry.host, repository: "team/thing", transport: "http" },
    descriptor: { digest, size: SIZE },
    credential: anonymous,
    sink,
    progress,
  } as const;
  return {
    registry,
    sink,
    query,
    progress,
    restarts: () => restarts,
    gets: () => registry.log.blobGets(digest),
    fetch: (signal?: AbortSignal) =>
      onceMoreIfCorrupt(
        () => client.fetchBlob({ ...query, signal }),
        async () => sink.restart(),
      ),
    isRight: () => assert.ok(file.equals(blob), "the bytes are not the blob's"),
    async [Symbol.asyncDispose]() {
      client.close();
      await registry.close();
    },
  };
}

test("a large blob comes over several connections while one is what limits, each byte once", async () => {
  await using bench = await use();
  let most = 0;
  bench.registry.fault = () => {
    most = Math.max(most, bench.gets().filter(({ finished }) => !finished).length);
    return undefined;
  };
  await bench.fetch();
  bench.isRight();
  assert.equal(bench.restarts(), 0);
  assert.ok(most > 2 && most <= 8, `${most} connections`);
  const [first, ...others] = bench.gets();
  assert.equal(first?.headers["range"], undefined);
  assert.ok(others.every(({ headers, status }) => /^bytes=\d+-\d+$/.test(headers["range"] ?? "") && status === 206));
  const sent = bench.gets().reduce((sum, { bytesSent }) => sum + bytesSent, 0);
  // What the first connection had on its way when it was cut is sent twice.
  assert.ok(sent < SIZE + 8 * MIB, `${sent} bytes were sent`);
});

for (const [name, more] of [
  ["a busy thread", { threadLoad: () => 0.9 }],
  ["places for one", { limits: { connectionsPerHost: 1 } }],
] as const) {
  test(`${name}: one connection is all`, async () => {
    await using bench = await use({ bytesPerSecond: 40 * MIB }, more);
    await bench.fetch();
    bench.isRight();
    assert.equal(bench.gets().length, 1);
  });
}

test("a sink that makes bytes wait gets no more connections", async () => {
  await using bench = await use({ bytesPerSecond: 40 * MIB });
  const { sink } = bench;
  const write = sink.write;
  sink.write = (chunk, offset) => Promise.resolve(write(chunk, offset));
  await bench.fetch();
  bench.isRight();
  assert.equal(bench.gets().length, 1);
});

const page = { kind: "status", status: 200, headers: { "content-type": "text/html" }, body: "<p>no" } as const;
const refusals: readonly [name: string, fault: Fault][] = [
  ...[400, 401, 403, 404, 416, 429, 500, 503].map(
    (status) => [`with ${status}`, { kind: "status", status }] as [string, Fault],
  ),
  ["with a page", page],
  ["with a part that says nothing", { kind: "status", status: 206, body: "x" }],
  ["with another part", { kind: "status", status: 206, headers: { "content-range": `bytes 0-0/${SIZE}` }, body: "x" }],
  ["by cutting the connection", { kind: "cut", afterBytes: 0 }],
];
describe("ranges are refused, and the blob comes in one piece", { concurrency: 5 }, () => {
  for (const [name, fault] of refusals) {
    test(name, async () => {
      await using bench = await use({ bytesPerSecond: 40 * MIB });
      bench.registry.fault = ({ headers }) => (headers["range"] === undefined ? undefined : fault);
      await bench.fetch();
      bench.isRight();
      assert.equal(bench.restarts(), 0);
      assert.ok(bench.gets().length > 1, "nobody tried to help");
      assert.deepEqual(
        bench.gets().filter(({ headers, bytesSent }) => headers["range"] === undefined && bytesSent !== SIZE),
        [],
      );
    });
  }
});

test("ranges are ignored: the blob comes in one piece", async () => {
  await using bench = await use({ acceptRanges: false, bytesPerSecond: 40 * MIB });
  await bench.fetch();
  bench.isRight();
  assert.equal(bench.restarts(), 0);
  assert.ok(bench.gets().length > 1);
});

test("ranges with other bytes than they should have: once more, in one piece", async () => {
  await using bench = await use({ bytesPerSecond: 30 * MIB });
  bench.registry.fault = ({ headers }) => (headers["range"] === undefined ? undefined : { kind: "corrupt" });
  await bench.fetch();
  bench.isRight();
  assert.equal(bench.restarts(), 1);
  assert.equal(bench.gets().at(-1)?.headers["range"], undefined);
});

test("connections that are cut again and again leave their parts to the others", async () => {
  await using bench = await use();
  let count = 0;
  bench.registry.fault = () => (++count % 2 === 0 ? { kind: "cut", afterBytes: 3 * MIB } : undefined);
  await bench.fetch();
  bench.isRight();
  assert.equal(bench.restarts(), 0);
});

test("what came in parts is gone on with", async () => {
  await using bench = await use();
  const caller = new AbortController();
  const { sink } = bench;
  const write = sink.write;
  sink.write = (chunk, offset) => {
    if (bench.progress.there().length > 2) caller.abort(new Error("enough"));
    return write(chunk, offset);
  };
  await assert.rejects(bench.fetch(caller.signal), /enough/);
  const there = bench.progress.receivedBytes;
  assert.ok(there < SIZE && bench.progress.there().length > 1);
  sink.write = write;
  bench.registry.log.clear();
  await bench.fetch();
  bench.isRight();
  assert.equal(bench.restarts(), 0);
  const sent = bench.gets().reduce((sum, { bytesSent }) => sum + bytesSent, 0);
  assert.ok(sent < SIZE - there + 8 * MIB, `${sent} bytes were sent where ${SIZE - there} were missing`);
});

test("a sink that fails for one connection ends all of them", async () => {
  await using bench = await use();
  const full = new Error("the disk is full");
  const { sink } = bench;
  const write = sink.write;
  sink.write = (chunk, offset) => (offset > SIZE / 2 ? Promise.reject(full) : write(chunk, offset));
  await assert.rejects(bench.fetch(), (error) => error === full);
});
