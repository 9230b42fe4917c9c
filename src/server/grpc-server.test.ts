import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import * as grpc from "@grpc/grpc-js";
import { Controller } from "../../gen/csi/v1/controller_pb.js";
import { Identity, Node } from "../../gen/csi/v1/csi_pb.js";
import { GrpcJsClient, useConnectClients } from "../../test/csi/csi-clients.ts";
import { type CsiServer, useCsiServer } from "../../test/csi/csi-server.ts";
import type { PublishRequest } from "../volume/index.ts";

const capability = { accessType: { case: "mount" as const, value: {} } };
const publish = { volumeId: "v1", targetPath: "/t", volumeCapability: capability };

function hasCode(code: Code): (error: unknown) => boolean {
  return (error) => error instanceof ConnectError && error.code === code;
}

function isServiceError(code: grpc.status): (error: unknown) => boolean {
  return (error) => error instanceof Error && "code" in error && error.code === code;
}

/** Lets publish calls begin, tells when one did, and ends them on demand or when their caller goes. */
function holdPublish(csi: CsiServer) {
  const begun = Promise.withResolvers<PublishRequest>();
  const end = Promise.withResolvers<void>();
  csi.volumes.onPublish = (request) => {
    begun.resolve(request);
    const gone = new Promise<never>((_, reject) => {
      request.signal.addEventListener("abort", () => reject(request.signal.reason as Error), { once: true });
    });
    return Promise.race([end.promise, gone]);
  };
  return { begun: begun.promise, end: end.resolve };
}

async function assertAlive(csi: CsiServer): Promise<void> {
  using clients = useConnectClients(csi.socketPath);
  assert.equal((await clients.identity.getPluginInfo({})).name, "csi.oras.land");
}

test("grpc-js is answered, errors included", async () => {
  await using csi = await useCsiServer();
  using client = new GrpcJsClient(csi.socketPath);
  assert.equal((await client.call(Identity.method.getPluginInfo, {})).name, "csi.oras.land");
  assert.equal((await client.call(Node.method.nodeGetInfo, {})).nodeId, "node-1");
  const refused = client.call(Node.method.nodePublishVolume, { volumeId: "v1" });
  await assert.rejects(refused, isServiceError(grpc.status.INVALID_ARGUMENT));
});

test("a service that is not served is UNIMPLEMENTED for both clients", async () => {
  await using csi = await useCsiServer();
  using client = new GrpcJsClient(csi.socketPath);
  const called = client.call(Controller.method.controllerGetCapabilities, {});
  await assert.rejects(called, isServiceError(grpc.status.UNIMPLEMENTED));
});

const authorities = [
  "%2Fvar%2Flib%2Fkubelet%2Fplugins_registry%2Fcsi.oras.land-reg.sock",
  "localhost:99999",
  "[bad",
  "a b",
  "/var/lib/kubelet/plugins/csi.sock",
  "ü",
  "user@host",
];
for (const authority of authorities) {
  test(`the authority ${JSON.stringify(authority)} harms nobody`, async () => {
    await using csi = await useCsiServer();
    using client = new GrpcJsClient(csi.socketPath, { "grpc.default_authority": authority });
    const deadline = Date.now() + 5000;
    const outcome = await client.call(Identity.method.getPluginInfo, {}, { deadline }).then(
      (info) => info.name,
      // Node's own HTTP/2 refuses some before the driver sees them.
      (error: unknown) => (error instanceof Error && "code" in error ? error.code : undefined),
    );
    assert.ok(outcome === "csi.oras.land" || typeof outcome === "number", String(outcome));
    if (authority.startsWith("%2F")) assert.equal(outcome, "csi.oras.land");
    await assertAlive(csi);
  });
}

test("a deadline beyond what timers bear is no error", async () => {
  await using csi = await useCsiServer();
  const session = connectHttp2("http://localhost", { createConnection: () => connect(csi.socketPath) });
  for (const timeout of ["99999999H", "2000000S", "40000M"]) {
    const stream = session.request({
      ":method": "POST",
      ":path": "/csi.v1.Identity/Probe",
      "content-type": "application/grpc",
      te: "trailers",
      "grpc-timeout": timeout,
    });
    stream.end(Buffer.alloc(5));
    const [trailers] = (await Promise.all([once(stream, "trailers"), once(stream.resume(), "end")]))[0];
    assert.equal(trailers["grpc-status"], "0", timeout);
  }
  session.destroy();
});

test("a deadline that passes ends the call and aborts its handler", async () => {
  await using csi = await useCsiServer();
  const held = holdPublish(csi);
  const call = csi.clients.node.nodePublishVolume(publish, { timeoutMs: 2_000 });
  await assert.rejects(call, hasCode(Code.DeadlineExceeded));
  const { signal } = await held.begun;
  if (!signal.aborted) await once(signal, "abort");
  await assertAlive(csi);
});

test("a client that dies in mid-call aborts the handler and nothing else", async () => {
  await using csi = await useCsiServer();
  const held = holdPublish(csi);
  let socket: Socket | undefined;
  const session = connectHttp2("http://localhost", {
    createConnection: () => (socket = connect(csi.socketPath)),
  });
  session.on("error", () => undefined);
  const stream = session.request({
    ":method": "POST",
    ":path": "/csi.v1.Node/NodePublishVolume",
    "content-type": "application/grpc",
    te: "trailers",
  });
  stream.on("error", () => undefined);
  // volume_id "v", target_path "/t", volume_capability { mount {} }: the message as it is on the wire.
  stream.end(Buffer.from("000000000b0a0176" + "22022f74" + "2a021200", "hex"));
  const { signal } = await held.begun;
  assert.equal(csi.server.callsInFlight, 1);
  socket?.destroy();
  if (!signal.aborted) await once(signal, "abort");
  await assertAlive(csi);
  assert.ok(!csi.logged.some((line) => line.level === "error"));
});

test("a ping is answered", async () => {
  await using csi = await useCsiServer();
  const session = connectHttp2("http://localhost", { createConnection: () => connect(csi.socketPath) });
  await once(session, "remoteSettings");
  const payload = await new Promise<Buffer>((resolve, reject) => {
    session.ping(Buffer.from("oras-csi"), (error, _duration, echoed) => (error ? reject(error) : resolve(echoed)));
  });
  assert.equal(payload.toString(), "oras-csi");
  session.destroy();
});

test("a peer is not cut off for pinging without end, nor for saying nothing longer than HTTP servers bear", async () => {
  await using csi = await useCsiServer();
  const open = async () => {
    const session = connectHttp2("http://localhost", { createConnection: () => connect(csi.socketPath) });
    await once(session, "remoteSettings");
    return session;
  };
  const [pinging, idle] = await Promise.all([open(), open()]);
  // Node's servers end a connection after 5 s of silence if they are of the kind that does.
  const until = performance.now() + 6_000;
  for (let pings = 0; performance.now() < until || pings < 1_000; pings++) {
    await new Promise<void>((resolve, reject) => pinging.ping((error) => (error ? reject(error) : resolve())));
  }
  for (const session of [pinging, idle]) {
    assert.ok(!session.closed && !session.destroyed);
    await new Promise<void>((resolve, reject) => session.ping((error) => (error ? reject(error) : resolve())));
    session.destroy();
  }
});

test("a message beyond the limit is RESOURCE_EXHAUSTED", async () => {
  await using csi = await useCsiServer();
  const big = { ...publish, secrets: { a: "x".repeat(5 * 1024 * 1024) } };
  await assert.rejects(csi.clients.node.nodePublishVolume(big), hasCode(Code.ResourceExhausted));
  assert.equal(csi.volumes.published.length, 0);
});

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const oddBytes: { name: string; bytes: Buffer }[] = [
  { name: "HTTP/1", bytes: Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n") },
  { name: "a TLS greeting", bytes: Buffer.from("16030100c8010000c40303", "hex") },
  { name: "garbage", bytes: Buffer.alloc(4096, 0xa5) },
  { name: "a preface and garbage", bytes: Buffer.concat([preface, Buffer.alloc(512, 0xff)]) },
  { name: "a frame of 16 MiB", bytes: Buffer.concat([preface, Buffer.from("ffffff000000000001", "hex")]) },
];
for (const { name, bytes } of oddBytes) {
  test(`${name} on the socket ends that connection only`, async () => {
    await using csi = await useCsiServer();
    const socket = connect(csi.socketPath);
    socket.on("error", () => undefined);
    socket.end(bytes);
    socket.resume();
    await once(socket, "close");
    await assertAlive(csi);
  });
}

const oddRequests: { name: string; headers: Record<string, string>; body?: Buffer }[] = [
  { name: "GET", headers: { ":method": "GET" } },
  { name: "CONNECT", headers: { ":method": "CONNECT", ":authority": "x" } },
  { name: "another content type", headers: { "content-type": "text/plain" } },
  { name: "Connect's JSON", headers: { "content-type": "application/json" }, body: Buffer.from("{}") },
  { name: "no message", headers: {}, body: Buffer.alloc(0) },
  { name: "half a message", headers: {}, body: Buffer.from("00000000ff0a", "hex") },
  { name: "a message that is none", headers: {}, body: Buffer.from("0000000003ffffff", "hex") },
  { name: "an unknown compression", headers: { "grpc-encoding": "zip" } },
  { name: "a timeout that is none", headers: { "grpc-timeout": "soon" } },
  { name: "a timeout of nothing", headers: { "grpc-timeout": "0n" } },
  { name: "a query", headers: { ":path": "/csi.v1.Identity/Probe?%zz" } },
  { name: "a path that is none", headers: { ":path": "//%%%/?" } },
];
for (const { name, headers, body } of oddRequests) {
  test(`a request with ${name} is answered or cut, and harms nobody`, async () => {
    await using csi = await useCsiServer();
    const session = connectHttp2("http://localhost", { createConnection: () => connect(csi.socketPath) });
    session.on("error", () => undefined);
    const usual = { ":method": "POST", ":path": "/csi.v1.Identity/Probe", "content-type": "application/grpc" };
    const all = headers[":method"] === "CONNECT" ? headers : { ...usual, te: "trailers", ...headers };
    const stream = session.request(all, { endStream: false });
    stream.on("error", () => undefined);
    stream.end(body ?? Buffer.alloc(5));
    stream.resume();
    await once(stream, "close");
    await assertAlive(csi);
    session.destroy();
  });
}

test("one connection cannot keep thousands of calls going", async () => {
  await using csi = await useCsiServer();
  const session = connectHttp2("http://localhost", { createConnection: () => connect(csi.socketPath) });
  await once(session, "remoteSettings");
  assert.equal(session.remoteSettings.maxConcurrentStreams, 250);
  session.destroy();
});

test("who begins hundreds of calls and resets them at once is cut off", async () => {
  await using csi = await useCsiServer();
  const frame = (type: number, flags: number, stream: number, payload: Buffer) => {
    const head = Buffer.from([0, 0, payload.length, type, flags, 0, 0, 0, 0]);
    head.writeUInt32BE(stream, 5);
    return Buffer.concat([head, payload]);
  };
  // POST http / of HPACK's static table, and CANCEL.
  const [headers, cancel] = [Buffer.from([0x83, 0x86, 0x84]), Buffer.from([0, 0, 0, 8])];
  const calls = Array.from({ length: 600 }, (_, i) => [
    frame(1, 0x4, 2 * i + 1, headers),
    frame(3, 0, 2 * i + 1, cancel),
  ]);
  const socket = connect(csi.socketPath);
  socket.on("error", () => undefined);
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  socket.resume();
  socket.write(
    Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(4, 0, 0, Buffer.alloc(0)), ...calls.flat()]),
  );
  await closed;
  await assertAlive(csi);
});
