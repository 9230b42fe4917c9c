import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import type { Peer } from "../../../test/registry-client/index.ts";
import { faultIs, ok, usePool } from "../../../test/registry-client/pool-bench.ts";
import { defaultHttpLimits } from "./http-types.ts";
import type { TransportFault } from "./transport-error.ts";

test("requests carry what is due, and nothing else", async () => {
  let seen = "";
  await using bench = await usePool(async (peer) => {
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
  await using bench = await usePool(async (peer) => {
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
    await using bench = await usePool(async (peer) => {
      await peer.answer(peer.number === 0 ? row.bytes : ok("second connection"));
      await peer.answer(ok("same connection"));
    });
    assert.equal(await bench.get(), row.body);
    assert.equal(await bench.get(), row.reuses ? "same connection" : "second connection");
  });
}

test("a body until the connection closes, in pieces", async () => {
  await using bench = await usePool(async (peer) => {
    await peer.answer("HTTP/1.1 200 OK\r\n\r\nabc");
    setImmediate(() => peer.socket.end("def"));
  });
  assert.equal(await bench.get(), "abcdef");
});

test("a head that comes byte by byte", async () => {
  await using bench = await usePool(async (peer) => {
    await peer.readRequest();
    peer.socket.setNoDelay(true);
    for (const byte of ok("abc")) await new Promise((resolve) => peer.socket.write(byte, resolve));
  });
  assert.equal(await bench.get(), "abc");
});

test("a large body keeps its bytes and order through a slow sink", async () => {
  const sent = Buffer.alloc(8 * 1024 * 1024).map((_, i) => (i * 7 + (i >> 12)) & 0xff);
  await using bench = await usePool(async (peer) => {
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
  await using bench = await usePool(async (peer) => {
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
    await using bench = await usePool(async (peer) => {
      await peer.answer(bytes);
      peer.socket.end();
    });
    await assert.rejects(bench.get(), faultIs(fault));
  });
}

test("no answer in time", async () => {
  const asked = Promise.withResolvers<void>();
  await using bench = await usePool(async (peer) => {
    await peer.answer("HTTP/1.1 200 OK\r\n");
    asked.resolve();
  });
  const got = assert.rejects(bench.get(), faultIs("timeout"));
  await asked.promise;
  bench.clock.advance(defaultHttpLimits.firstByteTimeoutMs);
  await got;
});

test("a body that stalls is cut; a sink that takes its time is not", async () => {
  await using bench = await usePool(async (peer) => {
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
  await using bench = await usePool(async (connected) => {
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

test("an abort ends the request at any stage, with the signal's reason and no listener left", async () => {
  for (const stage of ["before", "head", "body", "sink"] as const) {
    const reason = new Error(`aborted: ${stage}`);
    const controller = new AbortController();
    const asked = Promise.withResolvers<void>();
    await using bench = await usePool(async (peer) => {
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

test("a finished request leaves no listener on its signal", async () => {
  await using bench = await usePool(async (peer) => void (await peer.answer(ok("x"))));
  const { signal } = new AbortController();
  await bench.get({ signal });
  assert.equal(getEventListeners(signal, "abort").length, 0);
});

test("a sink's error ends the connection and comes out as it is", async () => {
  await using bench = await usePool(async (peer) => void (await peer.answer(ok("abc"))));
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
