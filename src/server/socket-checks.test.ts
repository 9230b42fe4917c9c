import assert from "node:assert/strict";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { type CsiServer, type CsiServerOptions, listLogger, useCsiServer } from "../../test/csi/csi-server.ts";
import { askLikeLivenessProbe } from "../../test/driver/index.ts";
import { systemClock } from "../base/index.ts";
import { GrpcServer } from "./grpc-server.ts";
import { HealthChecks } from "./health-checks.ts";
import { createRegistration } from "./registration.ts";
import { createSocketChecks, type ServedSockets } from "./socket-checks.ts";

const logger = listLogger([]);

function healthOf(sockets: ServedSockets): HealthChecks {
  return new HealthChecks({ name: "health", checks: createSocketChecks(sockets), clock: systemClock, logger });
}

/** A driver's two sockets and their health. */
async function useSockets(options: CsiServerOptions = {}) {
  const csi: CsiServer = await useCsiServer(options);
  const registration = createRegistration({ driverName: "csi.oras.land", endpoint: csi.socketPath, logger });
  const socketPath = join(csi.folder, "reg.sock");
  const server = await GrpcServer.open({ socketPath, routes: registration.routes, clock: systemClock, logger });
  const health = healthOf({ csi: csi.server, registration: server });
  return {
    csi,
    registrationSocket: socketPath,
    health,
    async [Symbol.asyncDispose]() {
      await server.close();
      await csi[Symbol.asyncDispose]();
    },
  };
}

test("a driver that answers on its sockets is healthy", async () => {
  await using sockets = await useSockets();
  assert.equal(await sockets.health.run(), undefined);
  assert.equal(await healthOf({ csi: sockets.csi.server, registration: undefined }).run(), undefined);
  assert.deepEqual(await askLikeLivenessProbe(sockets.csi.socketPath), { status: 200, body: "ok" });
});

test("a driver that is still starting is healthy, and not ready", async () => {
  await using sockets = await useSockets({ isReady: () => false });
  assert.equal(await sockets.health.run(), undefined);
  assert.equal((await askLikeLivenessProbe(sockets.csi.socketPath)).status, 500);
});

test("a socket that was deleted is not healthy, though the process lives", async () => {
  await using sockets = await useSockets();
  await rm(sockets.registrationSocket);
  assert.match((await sockets.health.run()) ?? "", /^the registration socket .*reg\.sock was deleted or replaced/);
  await rm(sockets.csi.socketPath);
  assert.match(
    (await sockets.health.run()) ?? "",
    /^the CSI socket .*csi\.sock was deleted .*; the registration socket/,
  );
  assert.equal((await askLikeLivenessProbe(sockets.csi.socketPath)).status, 500);
});

test("a socket that another driver took is not healthy, though somebody answers there", async () => {
  await using sockets = await useSockets();
  await rm(sockets.csi.socketPath);
  await using _other = await useCsiServer({ socketPath: sockets.csi.socketPath });
  assert.match((await sockets.health.run()) ?? "", /^the CSI socket .* was deleted or replaced by another process$/);
  assert.equal((await askLikeLivenessProbe(sockets.csi.socketPath)).status, 200);
});

test("a Probe that fails is not healthy", async () => {
  const isReady = () => {
    throw new Error("a fault");
  };
  await using sockets = await useSockets({ isReady });
  assert.match((await sockets.health.run()) ?? "", /^the CSI socket .* does not answer: unexpected driver failure/);
});

const wedged: { name: string; onConnection: (socket: Socket) => void; says: RegExp }[] = [
  { name: "takes connections and says nothing", onConnection: () => undefined, says: /does not answer: .*timed out/ },
  { name: "hangs up", onConnection: (socket) => socket.destroy(), says: /does not answer/ },
  { name: "speaks another protocol", onConnection: (socket) => socket.end("SSH-2.0-x\r\n"), says: /does not answer/ },
];
for (const { name, onConnection, says } of wedged) {
  test(`a socket that ${name} is not healthy, within livenessprobe's time`, async () => {
    await using sockets = await useSockets();
    const socketPath = join(sockets.csi.folder, "wedged.sock");
    const taken: Socket[] = [];
    const server = createServer((socket) => {
      taken.push(socket.on("error", () => undefined));
      onConnection(socket);
    }).listen(socketPath);
    await once(server, "listening");
    const health = healthOf({ csi: { socketPath, ownsSocketFile: () => true }, registration: undefined });
    assert.match((await health.run()) ?? "", says);
    for (const socket of taken) socket.destroy();
    server.close();
  });
}
