import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { soon } from "../../../test/helpers/soon.ts";
import { ManualClock, type Peer, RawServer } from "../../../test/registry-client/index.ts";
import { ConnectionPool } from "./connection-pool.ts";
import { defaultHttpLimits, type HttpLimits, type HttpRequest } from "./http-types.ts";
import { TransportError, type TransportFault } from "./transport-error.ts";

interface Bench extends AsyncDisposable {
  readonly clock: ManualClock;
  readonly server: RawServer;
  readonly pool: ConnectionPool;
  request(more?: Partial<HttpRequest>): HttpRequest;
  /** Sends a request and reads all of its answer as text. */
  get(more?: Partial<HttpRequest>): Promise<string>;
}

async function useBench(
  script: (peer: Peer) => Promise<void> | void,
  limits: Partial<HttpLimits> = {},
): Promise<Bench> {
  const server = await RawServer.start(script);
  const clock = new ManualClock();
  const pool = new ConnectionPool({
    clock,
    limits: { ...defaultHttpLimits, ...limits },
    userAgent: "test",
    caCertificates: [],
  });
  const request = (more: Partial<HttpRequest> = {}): HttpRequest => ({
    method: "GET",
    target: { scheme: "http", host: "127.0.0.1", port: server.port, path: "/x" },
    trust: "verified",
    headers: new Map(),
    ...more,
  });
  return {
    clock,
    server,
    pool,
    request,
    get: async (more) => (await (await pool.request(request(more))).body.readAtMost(1e6)).bytes.toString("latin1"),
    async [Symbol.asyncDispose]() {
      pool.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

const ok = (body: string) => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

function faultIs(fault: TransportFault, says = /./) {
  return (e: unknown) => e instanceof TransportError && e.fault === fault && says.test(e.message);
}

test("one connection serves one request after the other", async () => {
  await using bench = await useBench(async (peer) => {
    for (let i = 0; i < 3; i++) await peer.answer(ok(`answer ${i}`));
  });
  assert.equal(await bench.get(), "answer 0");
  assert.equal(await bench.get(), "answer 1");
  assert.equal(bench.server.peers.length, 1);
});

test("requests carry what is due, and nothing else", async () => {
  let seen = "";
  await using bench = await useBench(async (peer) => {
    seen = await peer.answer(ok(""));
  });
  await bench.get({ method: "POST", body: "a=b", headers: new Map([["Accept", "x/y"]]) });
  const port = bench.server.port;
  const due = [
    "POST /x HTTP/1.1",
    `Host: 127.0.0.1:${port}`,
    "User-Agent: test",
    "Accept-Encoding: identity",
    "Accept: x/y",
  ];
  assert.deepEqual(seen.split("\r\n"), [...due, "Content-Length: 3"]);
});

test("an answer to HEAD has no body, whatever its length says", async () => {
  await using bench = await useBench(async (peer) => {
    await peer.answer("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n");
    await peer.answer(ok("next"));
  });
  assert.equal(await bench.get({ method: "HEAD" }), "");
  assert.equal(await bench.get(), "next");
});

const bodies: { name: string; bytes: string; body: string; reuses: boolean }[] = [
  {
    name: "chunked",
    bytes: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    body: "abcde",
    reuses: true,
  },
  {
    name: "after interim answers",
    bytes: `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nA: b\r\n\r\n${ok("abc")}`,
    body: "abc",
    reuses: true,
  },
  {
    name: "closing",
    bytes: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc",
    body: "abc",
    reuses: false,
  },
  {
    name: "with bytes after it",
    bytes: `${ok("abc")}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`,
    body: "abc",
    reuses: false,
  },
];
for (const row of bodies) {
  test(`a body ${row.name}`, async () => {
    await using bench = await useBench(async (peer) => {
      await peer.answer(peer.number === 0 ? row.bytes : ok("second connection"));
      await peer.answer(ok("same connection"));
    });
    assert.equal(await bench.get(), row.body);
    assert.equal(await bench.get(), row.reuses ? "same connection" : "second connection");
  });
}

test("a body until the connection closes, in pieces", async () => {
  await using bench = await useBench(async (peer) => {
    await peer.answer("HTTP/1.1 200 OK\r\n\r\nabc");
    setImmediate(() => peer.socket.end("def"));
  });
  assert.equal(await bench.get(), "abcdef");
});

test("a head that comes byte by byte", async () => {
  await using bench = await useBench(async (peer) => {
    await peer.readRequest();
    peer.socket.setNoDelay(true);
    for (const byte of ok("abc")) await new Promise((resolve) => peer.socket.write(byte, resolve));
  });
  assert.equal(await bench.get(), "abc");
});

test("a large body keeps its bytes and order through a slow sink", async () => {
  const sent = Buffer.alloc(8 * 1024 * 1024).map((_, i) => (i * 7 + (i >> 12)) & 0xff);
  await using bench = await useBench(async (peer) => {
    await peer.answer(`HTTP/1.1 200 OK\r\nContent-Length: ${sent.length}\r\n\r\n`);
    peer.socket.write(sent);
  });
  const response = await bench.pool.request(bench.request());
  const got: Buffer[] = [];
  let busy = false;
  await response.body.readInto(async (chunk) => {
    assert.equal(busy, false, "the sink is called while it is busy");
    busy = true;
    await new Promise((resolve) => setImmediate(resolve));
    got.push(Buffer.from(chunk));
    busy = false;
  });
  assert.ok(Buffer.concat(got).equals(Buffer.from(sent)));
});

test("a body that nobody has asked for yet does not pile up", async () => {
  const sent = Buffer.alloc(64 * 1024 * 1024);
  await using bench = await useBench(async (peer) => {
    await peer.answer(`HTTP/1.1 200 OK\r\nContent-Length: ${sent.length}\r\n\r\n`);
    peer.socket.write(sent);
  });
  const response = await bench.pool.request(bench.request());
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.ok((bench.server.peers[0]?.socket.bytesWritten ?? 0) > 0);
  assert.ok((bench.server.peers[0]?.socket.writableLength ?? 0) > 16 * 1024 * 1024, "the server could not send it all");
  const { bytes, whole } = await response.body.readAtMost(10);
  assert.deepEqual({ length: bytes.length, whole }, { length: 10, whole: false });
  await bench.server.peers[0]?.closed;
});

const broken: { name: string; bytes: string; fault: TransportFault }[] = [
  { name: "no HTTP", bytes: "SSH-2.0-OpenSSH\r\n\r\n", fault: "protocol" },
  { name: "a TLS alert", bytes: "\x15\x03\x01\x00\x02\x02\x46", fault: "protocol" },
  { name: "half a head", bytes: "HTTP/1.1 200 OK\r\nContent-Le", fault: "cut" },
  { name: "half a body", bytes: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", fault: "cut" },
  { name: "half a chunked body", bytes: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", fault: "cut" },
  { name: "no last chunk", bytes: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", fault: "cut" },
  { name: "a bad chunk", bytes: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", fault: "protocol" },
  { name: "an endless head", bytes: `HTTP/1.1 200 OK\r\nA: ${"x".repeat(70_000)}`, fault: "protocol" },
  { name: "another protocol", bytes: "HTTP/1.1 101 Switching\r\n\r\n", fault: "protocol" },
];
for (const { name, bytes, fault } of broken) {
  test(`an answer with ${name} fails as ${fault}`, async () => {
    await using bench = await useBench(async (peer) => {
      await peer.answer(bytes);
      peer.socket.end();
    });
    await assert.rejects(bench.get(), faultIs(fault));
  });
}

test("a kept connection that its server closed costs nothing but a new one", async () => {
  await using bench = await useBench(async (peer) => {
    await peer.answer(ok("first"));
    if (peer.number > 0) return;
    // Read the second request, so that it is on its way when the connection goes.
    await peer.readRequest();
    peer.socket.destroy();
  });
  assert.equal(await bench.get(), "first");
  assert.equal(await bench.get(), "first");
  assert.equal(bench.server.peers.length, 2);
});

test("a fresh connection that is cut before an answer is not tried again here", async () => {
  await using bench = await useBench(async (peer) => {
    await peer.readRequest();
    peer.socket.destroy();
  });
  await assert.rejects(bench.get(), faultIs("cut"));
  assert.equal(bench.server.peers.length, 1);
});

test("a server that speaks unasked on an idle connection is not heard", async () => {
  await using bench = await useBench(async (peer) => {
    await peer.answer(ok(`answer ${peer.number}`));
    if (peer.number === 0) peer.socket.write(ok("smuggled"));
  });
  assert.equal(await bench.get(), "answer 0");
  await bench.server.peers[0]?.closed;
  assert.equal(await bench.get(), "answer 1");
});

test("a connection reads into one buffer, whoever reads late, and frees it when it is closed", async () => {
  await using bench = await useBench(async (peer) => {
    for (let i = 0; i < 3; i++) await peer.answer(ok("x".repeat(1000)));
  });
  const buffers = new Set<ArrayBufferLike>();
  for (let i = 0; i < 3; i++) {
    const { body } = await bench.pool.request(bench.request());
    await new Promise((resolve) => setImmediate(resolve));
    await body.readInto((chunk) => void buffers.add(chunk.buffer));
  }
  const [buffer] = buffers;
  assert.equal(buffers.size, 1);
  assert.equal(buffer?.byteLength, defaultHttpLimits.readBufferBytes);
  bench.clock.advance(defaultHttpLimits.idleTimeoutMs);
  await soon(async () => assert.equal(buffer?.byteLength, 0));
});

test("a large body is read into more memory, and what served until then is freed", async () => {
  const sent = Buffer.alloc(defaultHttpLimits.largeBodyBytes).map((_, i) => (i * 7 + (i >> 13)) & 0xff);
  await using bench = await useBench(async (peer) => {
    await peer.readRequest();
    peer.socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${sent.length}\r\n\r\n`);
    peer.socket.write(sent);
  });
  const buffers = new Set<ArrayBufferLike>();
  const got: Buffer[] = [];
  const { body } = await bench.pool.request(bench.request());
  await body.readInto((chunk) => {
    buffers.add(chunk.buffer);
    got.push(Buffer.from(chunk));
  });
  assert.ok(Buffer.concat(got).equals(Buffer.from(sent)));
  assert.deepEqual(
    [...buffers].map((buffer) => buffer.byteLength),
    [0, defaultHttpLimits.largeReadBytes],
  );
});

test("bytes that a sink still uses when its connection is closed stay", async () => {
  await using bench = await useBench(async (peer) => {
    await peer.answer(ok("x".repeat(1000)));
  });
  const stop = new AbortController();
  const { body } = await bench.pool.request(bench.request({ signal: stop.signal }));
  const taken = Promise.withResolvers<Buffer>();
  const reading = body.readInto((chunk) => {
    taken.resolve(chunk);
    return new Promise(() => undefined);
  });
  const held = await taken.promise;
  stop.abort(new Error("enough"));
  await assert.rejects(reading, /enough/);
  await bench.server.peers[0]?.closed;
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(held.toString("latin1"), "x".repeat(1000));
});

test("an idle connection is closed after a while", async () => {
  await using bench = await useBench(async (peer) => void (await peer.answer(ok("x"))));
  await bench.get();
  bench.clock.advance(defaultHttpLimits.idleTimeoutMs);
  await bench.server.peers[0]?.closed;
  assert.equal(bench.clock.pending, 0);
});

test("connections to one host are bounded; who waits is served when a body has been read", async () => {
  await using bench = await useBench((peer) => void peer.answer(ok("x")).then(() => peer.answer(ok("y"))), {
    smallConnectionsPerHost: 2,
  });
  const [one] = await Promise.all([bench.pool.request(bench.request()), bench.pool.request(bench.request())]);
  const third = bench.get();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(bench.server.peers.length, 2);
  one.body.discard();
  assert.equal(await third, "y");
  assert.equal(bench.server.peers.length, 2);
});

test("requests for little need not wait for those that take long", async () => {
  const limits = { connectionsPerHost: 2, smallConnectionsPerHost: 1 };
  await using bench = await useBench((peer) => void peer.answer(ok("x")), limits);
  const long = () => bench.pool.request(bench.request({ takesLong: true }));
  await Promise.all([long(), long()]);
  const third = long();
  assert.equal(await bench.get(), "x");
  bench.pool.close();
  await assert.rejects(third);
  assert.equal(bench.server.peers.length, 3);
});

test("no answer in time", async () => {
  const asked = Promise.withResolvers<void>();
  await using bench = await useBench(async (peer) => {
    await peer.answer("HTTP/1.1 200 OK\r\n");
    asked.resolve();
  });
  const got = assert.rejects(bench.get(), faultIs("timeout"));
  await asked.promise;
  bench.clock.advance(defaultHttpLimits.firstByteTimeoutMs);
  await got;
});

test("a body that stalls is cut; a sink that takes its time is not", async () => {
  await using bench = await useBench(async (peer) => {
    await peer.answer("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc");
  });
  const response = await bench.pool.request(bench.request());
  const slow = Promise.withResolvers<void>();
  const done = response.body.readInto(() => slow.promise);
  bench.clock.advance(defaultHttpLimits.stallTimeoutMs * 3);
  slow.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  bench.clock.advance(defaultHttpLimits.stallTimeoutMs - 1);
  bench.clock.advance(1);
  await assert.rejects(done, faultIs("stalled"));
});

test("a body that trickles is cut, though it is never silent for long", async () => {
  let peer: Peer | undefined;
  await using bench = await useBench(async (connected) => {
    peer = connected;
    await connected.answer("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
  });
  const response = await bench.pool.request(bench.request());
  let came = Promise.withResolvers<void>();
  const done = response.body.readInto(() => came.resolve());
  const ended = assert.rejects(done, faultIs("stalled", /next to nothing/));
  for (let i = 0; i < 15; i++) {
    came = Promise.withResolvers<void>();
    peer?.socket.write("x");
    await came.promise;
    bench.clock.advance(20_000);
  }
  await ended;
});

test("nobody listens on the port", async () => {
  const bench = await useBench(() => undefined);
  const request = bench.request();
  await bench[Symbol.asyncDispose]();
  await using other = await useBench(() => undefined);
  await assert.rejects(other.pool.request(request), faultIs("connect", /^connection refused$/));
});

test("an abort ends the request at any stage, with the signal's reason and no listener left", async () => {
  for (const stage of ["before", "head", "body", "sink"] as const) {
    const reason = new Error(`aborted: ${stage}`);
    const controller = new AbortController();
    const asked = Promise.withResolvers<void>();
    await using bench = await useBench(async (peer) => {
      await peer.answer(stage === "head" ? "HTTP/1.1 " : "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
      asked.resolve();
    });
    if (stage === "before") controller.abort(reason);
    const work = bench.pool.request(bench.request({ signal: controller.signal })).then((response) => {
      if (stage === "body") controller.abort(reason);
      return response.body.readInto(() => {
        if (stage === "sink") controller.abort(reason);
      });
    });
    const failed = assert.rejects(work, (e) => e === reason);
    if (stage === "head") {
      await asked.promise;
      controller.abort(reason);
    }
    await failed;
    await bench.server.peers[0]?.closed;
    assert.equal(getEventListeners(controller.signal, "abort").length, 0);
    assert.equal(bench.clock.pending, 0);
  }
});

test("an abort between a place and the kept connection that it is for is heard, too", async () => {
  const limits = { smallConnectionsPerHost: 1 };
  await using bench = await useBench(async (peer) => {
    await peer.answer(ok("x"));
    await peer.answer(ok("y"));
  }, limits);
  const first = await bench.pool.request(bench.request());
  const controller = new AbortController();
  const pending = bench.pool.request(bench.request({ signal: controller.signal }));
  first.body.discard();
  const reason = new Error("given up");
  controller.abort(reason);
  await assert.rejects(pending, (e) => e === reason);
  assert.equal(await bench.get(), "y", "the connection serves the next one");
});

test("a finished request leaves no listener on its signal", async () => {
  await using bench = await useBench(async (peer) => void (await peer.answer(ok("x"))));
  const { signal } = new AbortController();
  await bench.get({ signal });
  assert.equal(getEventListeners(signal, "abort").length, 0);
});

test("a sink's error ends the connection and comes out as it is", async () => {
  await using bench = await useBench(async (peer) => void (await peer.answer(ok("abc"))));
  for (const sink of [
    () => Promise.reject(new Error("disk full")),
    () => {
      throw new Error("disk full");
    },
  ]) {
    const response = await bench.pool.request(bench.request());
    await assert.rejects(response.body.readInto(sink), /^Error: disk full$/);
  }
  assert.equal(bench.server.peers.length, 2);
});

test("a request that cannot be sent leaves no connection open", async () => {
  await using bench = await useBench(({ closed }) => closed);
  const unsendable = bench.pool.request(bench.request({ headers: new Map([["X", "a\r\nb"]]) }));
  await assert.rejects(unsendable, /line break/);
  await bench.server.peers[0]?.closed;
  assert.equal(bench.server.peers.length, 1);
});

test("closing the pool ends what is under way", async () => {
  await using bench = await useBench(async (peer) => {
    await peer.readRequest();
    bench.pool.close();
  });
  await assert.rejects(bench.get(), faultIs("cut"));
  await assert.rejects(bench.get(), faultIs("cut"));
  assert.equal(bench.clock.pending, 0);
});
