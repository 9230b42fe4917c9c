import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { lstat, mkdir, mkdtemp, readdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { useConnectClients } from "../../test/csi/csi-clients.ts";
import { type LogLine, listLogger, testRoutes, useCsiServer } from "../../test/csi/csi-server.ts";
import { ScriptedVolumes } from "../../test/csi/scripted-volumes.ts";
import { DriverError, systemClock } from "../base/index.ts";
import { GrpcServer, type GrpcServerOptions } from "./grpc-server.ts";

async function useFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), "oras-csi-test-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

async function open(socketPath: string, more: Partial<GrpcServerOptions> = {}) {
  const lines: LogLine[] = [];
  const logger = listLogger(lines);
  const routes = testRoutes(new ScriptedVolumes(), logger);
  const server = await GrpcServer.open({ socketPath, routes, clock: systemClock, logger, takeOverWaitMs: 0, ...more });
  return { lines, close: () => server.close(), [Symbol.asyncDispose]: () => server.close() };
}

async function answers(socketPath: string): Promise<boolean> {
  using clients = useConnectClients(socketPath);
  const name = await clients.identity.getPluginInfo({}).then(
    (info) => info.name,
    () => undefined,
  );
  return name === "csi.oras.land";
}

function refused(says: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof DriverError && error.kind === "refused" && says.test(error.message);
}

function listenPlain(path: string): Promise<Server> {
  return new Promise((resolve) => {
    const server = createServer().listen(path, () => resolve(server));
  });
}

/** A socket file that nobody serves: its server closed while the file had another name. */
async function leaveDeadSocket(path: string): Promise<void> {
  const server = await listenPlain(`${path}.bound`);
  await rename(`${path}.bound`, path);
  await new Promise((resolve) => server.close(resolve));
}

test("the socket is made for its owner only, in a folder that is made too, and nothing is left beside it", async () => {
  await using folder = await useFolder();
  const path = join(folder.path, "a", "b", "csi.sock");
  await using _server = await open(path);
  assert.ok(await answers(path));
  assert.equal((await lstat(path)).mode & 0o777, 0o600);
  assert.deepEqual(await readdir(join(folder.path, "a", "b")), ["csi.sock"]);
});

test("a stale socket is replaced, and so is a half-made one", async () => {
  await using folder = await useFolder();
  const path = join(folder.path, "csi.sock");
  await leaveDeadSocket(path);
  await leaveDeadSocket(join(folder.path, ".csi.sock.new"));
  await using _server = await open(path);
  assert.ok(await answers(path));
  assert.deepEqual(await readdir(folder.path), ["csi.sock"]);
});

test("a link that leads nowhere is replaced", async () => {
  await using folder = await useFolder();
  const path = join(folder.path, "csi.sock");
  await symlink("gone", path);
  await using _server = await open(path);
  assert.ok(await answers(path));
});

test("a living driver is respected and named", async () => {
  await using csi = await useCsiServer();
  await assert.rejects(open(csi.socketPath), refused(/the CSI driver csi\.oras\.land 1\.2\.3 answers there/));
  assert.ok(await answers(csi.socketPath));
});

const strangers: { name: string; onConnection: (socket: Socket) => void }[] = [
  { name: "speaks another protocol", onConnection: (socket) => socket.end("SSH-2.0-not-a-driver\r\n") },
  { name: "hangs up", onConnection: (socket) => socket.destroy() },
  { name: "says nothing", onConnection: () => undefined },
];
for (const { name, onConnection } of strangers) {
  test(`a process that ${name} is respected, too`, async () => {
    await using folder = await useFolder();
    const path = join(folder.path, "csi.sock");
    const server = await listenPlain(path);
    const sockets: Socket[] = [];
    server.on("connection", (socket) => {
      sockets.push(socket.on("error", () => undefined));
      onConnection(socket);
    });
    await assert.rejects(open(path), refused(/a process that does not say what it is answers there/));
    for (const socket of sockets) socket.destroy();
    server.close();
  });
}

test("a driver that goes away in time is followed", async () => {
  await using folder = await useFolder();
  const path = join(folder.path, "csi.sock");
  const first = await open(path);
  const second = open(path, { takeOverWaitMs: 60_000 });
  await first.close();
  await using _second = await second;
  assert.ok(await answers(path));
});

test("the wait can be given up", async () => {
  await using csi = await useCsiServer();
  const signal = AbortSignal.abort(new Error("told to stop"));
  await assert.rejects(open(csi.socketPath, { takeOverWaitMs: 60_000, signal }), /told to stop/);
});

test("an old server that closes leaves the socket of a newer one", async () => {
  await using folder = await useFolder();
  const path = join(folder.path, "csi.sock");
  const old = await open(path);
  await rm(path);
  await using _newer = await open(path);
  await old.close();
  assert.ok(await answers(path));
});

test("a server that bound the path itself leaves ours when it closes", async () => {
  await using folder = await useFolder();
  const path = join(folder.path, "csi.sock");
  // Bound by name, then renamed over: what is at the path when it closes is not its own.
  const old = await listenPlain(`${path}.old`);
  await using _server = await open(path);
  await new Promise((resolve) => old.close(resolve));
  assert.ok(await answers(path));
});

test("close leaves a plain file that took the socket's place", async () => {
  await using folder = await useFolder();
  const path = join(folder.path, "csi.sock");
  const server = await open(path);
  await rm(path);
  await writeFile(path, "mine");
  await server.close();
  assert.ok(existsSync(path));
});

test("files and folders in the way are refused and left", async () => {
  await using folder = await useFolder();
  const file = join(folder.path, "file");
  const directory = join(folder.path, "directory");
  await writeFile(file, "precious");
  await mkdir(directory);
  await assert.rejects(open(file), refused(/something that is no socket is there/));
  await assert.rejects(open(directory), refused(/something that is no socket is there/));
  await assert.rejects(open(join(file, "csi.sock")), refused(/cannot listen on .*: (ENOTDIR|EEXIST)/));
  assert.deepEqual((await readdir(folder.path)).sort(), ["directory", "file"]);
});

test("a path of 107 bytes works, a longer one is refused", async () => {
  await using folder = await useFolder();
  const parent = join(folder.path, "p".repeat(107 - folder.path.length - 3));
  await mkdir(parent);
  const longest = join(parent, "s");
  assert.equal(longest.length, 107);
  await using _server = await open(longest);
  assert.ok(await answers(longest));
  await assert.rejects(open(`${longest}x`), refused(/longer than 107 bytes/));
});
