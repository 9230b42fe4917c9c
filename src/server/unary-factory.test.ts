import assert from "node:assert/strict";
import { test } from "node:test";
import { Identity } from "../../gen/csi/v1/csi_pb.js";
import { GrpcRouter } from "./grpc-router.ts";

const LIMIT = { timeout: 60_000 };

/** A body that comes in those parts and never ends. */
async function* unending(parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts;
  await new Promise(() => undefined);
}

const heads: { name: string; parts: readonly string[] }[] = [
  { name: "at once", parts: ["00ffffffff"] },
  { name: "byte by byte", parts: ["00", "ff", "ff", "ff", "ff"] },
];
for (const { name, parts } of heads) {
  test(`a message that is too long is refused as soon as its length is known, told ${name}`, LIMIT, async () => {
    const { handlers } = new GrpcRouter({ readMaxBytes: 1024 }).service(Identity, { probe: () => ({}) });
    const probe = handlers.find(({ requestPath }) => requestPath.endsWith("/Probe"));
    assert.ok(probe);
    const answer = await probe({
      httpVersion: "2.0",
      method: "POST",
      url: `http://localhost${probe.requestPath}`,
      header: new Headers({ "content-type": "application/grpc" }),
      body: unending(parts.map((hex) => Buffer.from(hex, "hex"))),
      signal: new AbortController().signal,
    });
    for await (const _ of answer.body as AsyncIterable<Uint8Array>) assert.fail("a refusal has no message");
    assert.equal(new Headers(answer.trailer).get("grpc-status"), "8");
  });
}

test("a call whose caller goes away in the middle of its request costs no handler of streams", LIMIT, async () => {
  let gates = 0;
  const requestGate = () => {
    gates++;
  };
  const { handlers } = new GrpcRouter({ requestGate }).service(Identity, { probe: () => ({}) });
  const probe = handlers.find(({ requestPath }) => requestPath.endsWith("/Probe"));
  assert.ok(probe);
  const caller = new AbortController();
  /** Node ends the body of a stream that is reset before it says that the stream is gone. */
  async function* cutOff(): AsyncGenerator<Uint8Array> {
    yield Buffer.alloc(3);
    setImmediate(() => caller.abort());
  }
  await probe({
    httpVersion: "2.0",
    method: "POST",
    url: `http://localhost${probe.requestPath}`,
    header: new Headers({ "content-type": "application/grpc" }),
    body: cutOff(),
    signal: caller.signal,
  });
  assert.equal(gates, 1, "Connect's own handler has a gate of its own");
});
