import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2, createServer, type Http2Server } from "node:http2";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { compressionGzip, connectNodeAdapter } from "@connectrpc/connect-node";
import { Identity } from "../../gen/csi/v1/csi_pb.js";
import { createSilentLogger } from "../base/index.ts";
import { createGrpcListener } from "./grpc-listener.ts";
import { InFlight } from "./in-flight.ts";

const READ_MAX_BYTES = 4 * 1024 * 1024;
const LARGE = "large ".repeat(1000);

function routes(router: ConnectRouter): void {
  router.service(Identity, {
    probe: (_, context) => {
      context.responseHeader.set("x-head", "1");
      context.responseTrailer.set("x-trail", "2");
      return { ready: true };
    },
    getPluginInfo: () => ({ name: LARGE }),
    getPluginCapabilities: () => {
      throw new ConnectError("not\nhere, ü", Code.NotFound, { "x-why": "because" });
    },
  });
}

const servers: Http2Server[] = [];
const sockets: string[] = [];
const calls = new InFlight();
let folder: string;

before(async () => {
  const limits = { acceptCompression: [compressionGzip], readMaxBytes: READ_MAX_BYTES };
  const theirs = createServer(connectNodeAdapter({ routes, grpcWeb: false, connect: false, ...limits }));
  const ours = createServer();
  const stopping = new AbortController().signal;
  ours.on("stream", createGrpcListener({ routes, logger: createSilentLogger(), calls, stopping }));
  servers.push(theirs, ours);
  folder = await mkdtemp(join(tmpdir(), "oras-csi-streams-"));
  for (const [at, server] of servers.entries()) {
    const path = join(folder, `${at}.sock`);
    sockets.push(path);
    await new Promise<void>((resolve) => server.listen(path, resolve));
  }
});

after(async () => {
  for (const server of servers) await new Promise((resolve) => server.close(resolve));
  await rm(folder, { recursive: true });
});

interface Case {
  readonly name: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly parts?: readonly Buffer[];
}

function framed(message: Buffer, isCompressed = false): Buffer {
  const head = Buffer.from([isCompressed ? 1 : 0, 0, 0, 0, 0]);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

const empty = framed(Buffer.alloc(0));
const info = { ":path": "/csi.v1.Identity/GetPluginInfo" };
const cases: readonly Case[] = [
  { name: "a call" },
  { name: "a message in parts", parts: [...framed(Buffer.from("0a0161", "hex"))].map((byte) => Buffer.of(byte)) },
  { name: "a compressed message", headers: { "grpc-encoding": "gzip" }, parts: [framed(gzipSync(""), true)] },
  { name: "a large answer", headers: info },
  { name: "a large answer that may be compressed", headers: { ...info, "grpc-accept-encoding": "gzip,identity" } },
  { name: "an error", headers: { ":path": "/csi.v1.Identity/GetPluginCapabilities" } },
  { name: "no message", parts: [] },
  { name: "two messages", parts: [empty, empty] },
  { name: "half a message", parts: [Buffer.from("00000000ff0a", "hex")] },
  { name: "a message that is none", parts: [Buffer.from("0000000003ffffff", "hex")] },
  { name: "a message that is too large", parts: [Buffer.from("0000ffffff", "hex"), Buffer.alloc(1024)] },
  { name: "an unknown compression", headers: { "grpc-encoding": "zip" } },
  { name: "a timeout that is none", headers: { "grpc-timeout": "soon" } },
  { name: "another content type", headers: { "content-type": "text/plain" } },
  { name: "JSON", headers: { "content-type": "application/grpc+json" }, parts: [framed(Buffer.from("{}"))] },
  { name: "GET", headers: { ":method": "GET" } },
  {
    name: "a large message that nobody reads",
    headers: { "content-type": "text/plain" },
    parts: [Buffer.alloc(200_000)],
  },
];

/** All that a client sees; `seenAll` is waited for while its connection is still open. */
async function ask(
  socketPath: string,
  { headers, parts = [empty] }: Case,
  seenAll: () => Promise<void>,
): Promise<Record<string, unknown>> {
  const session = connectHttp2("http://localhost", { createConnection: () => connect(socketPath) });
  const usual = { ":method": "POST", ":path": "/csi.v1.Identity/Probe", "content-type": "application/grpc" };
  const stream = session.request({ ...usual, te: "trailers", ...headers }, { endStream: false });
  const seen: Record<string, unknown> = {};
  stream.on("response", ({ date: _, ...response }) => Object.assign(seen, { response: { ...response } }));
  stream.on("trailers", (trailers) => Object.assign(seen, { trailers: { ...trailers } }));
  const body: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => body.push(chunk));
  for (const part of parts) stream.write(part);
  stream.end();
  await once(stream, "end");
  await seenAll();
  session.destroy();
  return { ...seen, body: Buffer.concat(body).toString("hex") };
}

for (const each of cases) {
  test(`${each.name}: the answer is that of Connect's own adapter, and the call is over`, {
    timeout: 60_000,
  }, async () => {
    const [theirs = "", ours = ""] = sockets;
    const seen = await ask(ours, each, () => calls.idle());
    assert.deepEqual(seen, await ask(theirs, each, async () => undefined));
  });
}
