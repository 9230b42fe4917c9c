import assert from "node:assert/strict";
import { test } from "node:test";
import { soon } from "../../../test/helpers/soon.ts";
import { faultIs, ok, usePool } from "../../../test/registry-client/pool-bench.ts";
import { defaultHttpLimits } from "./http-types.ts";

test("one connection serves one request after the other", async () => {
  await using bench = await usePool(async (peer) => {
    for (let i = 0; i < 3; i++) await peer.answer(ok(`answer ${i}`));
  });
  assert.equal(await bench.get(), "answer 0");
  assert.equal(await bench.get(), "answer 1");
  assert.equal(bench.server.peers.length, 1);
});

test("a kept connection that its server closed costs nothing but a new one", async () => {
  await using bench = await usePool(async (peer) => {
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
  await using bench = await usePool(async (peer) => {
    await peer.readRequest();
    peer.socket.destroy();
  });
  await assert.rejects(bench.get(), faultIs("cut"));
  assert.equal(bench.server.peers.length, 1);
});

test("a server that speaks unasked on an idle connection is not heard", async () => {
  await using bench = await usePool(async (peer) => {
    await peer.answer(ok(`answer ${peer.number}`));
    if (peer.number === 0) peer.socket.write(ok("smuggled"));
  });
  assert.equal(await bench.get(), "answer 0");
  await bench.server.peers[0]?.closed;
  assert.equal(await bench.get(), "answer 1");
});

test("a connection reads into one buffer, whoever reads late, and frees it when it is closed", async () => {
  await using bench = await usePool(async (peer) => {
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
  await using bench = await usePool(async (peer) => {
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
  await using bench = await usePool(async (peer) => {
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
  await using bench = await usePool(async (peer) => void (await peer.answer(ok("x"))));
  await bench.get();
  bench.clock.advance(defaultHttpLimits.idleTimeoutMs);
  await bench.server.peers[0]?.closed;
  assert.equal(bench.clock.pending, 0);
});

test("connections to one host are bounded; who waits is served when a body has been read", async () => {
  await using bench = await usePool((peer) => void peer.answer(ok("x")).then(() => peer.answer(ok("y"))), {
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
  await using bench = await usePool((peer) => void peer.answer(ok("x")), limits);
  const long = () => bench.pool.request(bench.request({ takesLong: true }));
  await Promise.all([long(), long()]);
  const third = long();
  assert.equal(await bench.get(), "x");
  bench.pool.close();
  await assert.rejects(third);
  assert.equal(bench.server.peers.length, 3);
});

test("nobody listens on the port", async () => {
  const bench = await usePool(() => undefined);
  const request = bench.request();
  await bench[Symbol.asyncDispose]();
  await using other = await usePool(() => undefined);
  await assert.rejects(other.pool.request(request), faultIs("connect", /^connection refused$/));
});

test("an abort between a place and the kept connection that it is for is heard, too", async () => {
  const limits = { smallConnectionsPerHost: 1 };
  await using bench = await usePool(async (peer) => {
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

for (const when of ["before a request", "while its connection is made"]) {
  test(`an abort ${when} that finds a free place is heard, and the place is free again`, async () => {
    await using bench = await usePool((peer) => void peer.answer(ok("x")), { smallConnectionsPerHost: 1 });
    const reason = new Error("given up");
    for (let times = 0; times < 2; times++) {
      const controller = new AbortController();
      if (when === "before a request") controller.abort(reason);
      const pending = bench.pool.request(bench.request({ signal: controller.signal }));
      controller.abort(reason);
      await assert.rejects(pending, (e) => e === reason);
    }
    assert.equal(await bench.get(), "x");
  });
}

test("a request that cannot be sent leaves no connection open", async () => {
  await using bench = await usePool(({ closed }) => closed);
  const unsendable = bench.pool.request(bench.request({ headers: new Map([["X", "a\r\nb"]]) }));
  await assert.rejects(unsendable, /line break/);
  await bench.server.peers[0]?.closed;
  assert.equal(bench.server.peers.length, 1);
});

test("closing the pool ends what is under way", async () => {
  await using bench = await usePool(async (peer) => {
    await peer.readRequest();
    bench.pool.close();
  });
  await assert.rejects(bench.get(), faultIs("cut"));
  await assert.rejects(bench.get(), faultIs("cut"));
  assert.equal(bench.clock.pending, 0);
});
