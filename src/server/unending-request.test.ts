import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2, constants } from "node:http2";
import { connect } from "node:net";
import { test } from "node:test";
import { useCsiServer } from "../../test/csi/csi-server.ts";

const LIMIT = { timeout: 60_000 };

/** A call whose caller sends some bytes and never ends its half of the stream. */
function beginCall(socketPath: string, sent: Buffer, headers: Readonly<Record<string, string>> = {}) {
  const session = connectHttp2("http://localhost", { createConnection: () => connect(socketPath) });
  const usual = { ":method": "POST", ":path": "/csi.v1.Identity/Probe", "content-type": "application/grpc" };
  const stream = session.request({ ...usual, te: "trailers", ...headers }, { endStream: false });
  if (sent.length > 0) stream.write(sent);
  const status = once(stream, "trailers").then(([trailers]) => trailers["grpc-status"] as unknown);
  stream.resume();
  return { stream, status, [Symbol.dispose]: () => session.destroy() };
}

const unending: { name: string; sent: Buffer }[] = [
  { name: "nothing", sent: Buffer.alloc(0) },
  { name: "half a message", sent: Buffer.from("00000000ff0a", "hex") },
  { name: "a message", sent: Buffer.alloc(5) },
];
for (const { name, sent } of unending) {
  test(`a deadline ends a call whose caller sends ${name} and no end`, LIMIT, async () => {
    await using csi = await useCsiServer();
    using call = beginCall(csi.socketPath, sent, { "grpc-timeout": "50m" });
    const closed = once(call.stream, "close");
    assert.equal(await call.status, "4");
    // The caller is told to stop sending, so that nothing of the call is left.
    await closed;
    assert.equal(call.stream.rstCode, constants.NGHTTP2_NO_ERROR);
    while (csi.server.callsInFlight > 0) await new Promise(setImmediate);
  });

  test(`a driver that stops answers a call whose caller sends ${name} and no end`, LIMIT, async () => {
    await using csi = await useCsiServer({ drainMs: 600 });
    using call = beginCall(csi.socketPath, sent);
    while (csi.server.callsInFlight === 0) await new Promise(setImmediate);
    await csi.server.close();
    assert.equal(await call.status, "14");
  });
}

test("a call that is refused before its caller sent all of it is over", LIMIT, async () => {
  await using csi = await useCsiServer();
  using call = beginCall(csi.socketPath, Buffer.from("00ffffffff00", "hex"));
  const closed = once(call.stream, "close");
  assert.equal(await call.status, "8");
  await closed;
  while (csi.server.callsInFlight > 0) await new Promise(setImmediate);
});

test("a deadline that is over already is DEADLINE_EXCEEDED, though the request may yet come whole", LIMIT, async () => {
  await using csi = await useCsiServer();
  using call = beginCall(csi.socketPath, Buffer.alloc(5), { "grpc-timeout": "0n" });
  call.stream.end();
  assert.equal(await call.status, "4");
});
