import assert from "node:assert/strict";
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { test } from "node:test";
import { Identity, Node } from "../../gen/csi/v1/csi_pb.js";
import { GrpcJsClient, useConnectClients } from "../../test/csi/csi-clients.ts";

const root = join(import.meta.dirname, "../..");
const deno = join(root, "node_modules/.bin/deno");
const publish = {
  volumeId: "v1",
  targetPath: "/t",
  volumeCapability: { accessType: { case: "mount" as const, value: {} } },
};

const skip = existsSync(deno) ? false : "deno is not installed";

test("the server runs on Deno", { skip }, async () => {
  await using server = await DenoServer.start();
  const { socketPath, lines } = server;
  using clients = useConnectClients(socketPath);
  using grpcJs = new GrpcJsClient(socketPath, { "grpc.default_authority": "%2Fcsi%2Fcsi.sock" });
  assert.equal((await clients.identity.getPluginInfo({})).name, "csi.oras.land");
  assert.equal((await grpcJs.call(Identity.method.getPluginInfo, {})).name, "csi.oras.land");
  await assert.rejects(grpcJs.call(Node.method.nodePublishVolume, {}), /volume id is missing/);
  // In flight while the server closes: it is let finish, and the connections do not hold up the end.
  const call = clients.node.nodePublishVolume(publish);
  assert.equal((await lines.next()).value, "publishing");
  const silent = connect(socketPath).resume();
  await once(silent, "connect");
  // Ended or reset: nobody reads what it may have said.
  silent.on("error", () => undefined);
  server.child.stdin.end();
  await call;
  assert.equal((await lines.next()).value, "closed");
  assert.deepEqual(await server.exited, [0, null]);
  assert.ok(!existsSync(socketPath));
});

// A session's memory was freed while the goodbye was read that ended it: most of such servers aborted.
test("clients that say goodbye at the same time do not end Deno", { skip }, async () => {
  for (let started = 0; started < 6; started++) {
    await using server = await DenoServer.start();
    await Promise.allSettled(Array.from({ length: 40 }, () => callAndSayGoodbye(server.socketPath)));
    using grpcJs = new GrpcJsClient(server.socketPath);
    assert.equal((await grpcJs.call(Identity.method.getPluginInfo, {})).name, "csi.oras.land");
  }
});

/** Makes five calls on a connection of its own, and ends that by GOAWAY, as gRPC clients do. */
async function callAndSayGoodbye(socketPath: string): Promise<void> {
  const session = connectHttp2("http://localhost", { createConnection: () => connect(socketPath) });
  const closed = once(session, "close");
  const path = `/${Identity.typeName}/${Identity.method.probe.name}`;
  const headers = { ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" };
  const calls = Array.from({ length: 5 }, async () => {
    const call = session.request(headers);
    call.end(Buffer.alloc(5));
    await once(call.resume(), "end");
  });
  await Promise.all([closed, Promise.all(calls).then(() => session.close())]);
}

/** The scripted server as a process of Deno, in a folder of its own. */
class DenoServer implements AsyncDisposable {
  readonly socketPath: string;
  readonly child: ChildProcessByStdio<Writable, Readable, null>;
  readonly exited: Promise<unknown[]>;
  /** What it prints on standard output. */
  readonly lines: AsyncIterator<string>;
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
    this.socketPath = join(folder, "csi.sock");
    const args = ["run", "-A", join(root, "test/csi/serve-scripted.ts"), this.socketPath];
    this.child = spawn(deno, args, { stdio: ["pipe", "pipe", "inherit"] });
    this.exited = once(this.child, "exit");
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
  }

  /** Starts it and waits until it listens. */
  static async start(): Promise<DenoServer> {
    const server = new DenoServer(await mkdtemp(join(tmpdir(), "oras-csi-test-")));
    assert.equal((await server.lines.next()).value, "listening");
    return server;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill("SIGKILL");
    await rm(this.#folder, { recursive: true });
  }
}
