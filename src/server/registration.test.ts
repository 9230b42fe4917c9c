import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { useConnectClients } from "../../test/csi/csi-clients.ts";
import { type CsiServer, type LogLine, listLogger, useCsiServer } from "../../test/csi/csi-server.ts";
import { PluginManager } from "../../test/driver/index.ts";
import { DriverError, systemClock } from "../base/index.ts";
import { GrpcServer } from "./grpc-server.ts";
import { createRegistration } from "./registration.ts";

const driverName = "csi.oras.land";

/** A registration socket beside a CSI server's, and kubelet watching the folder. */
async function useRegistration(csi: CsiServer) {
  const folder = csi.folder;
  const kubelet = new PluginManager(folder);
  const lines: LogLine[] = [];
  const logger = listLogger(lines);
  const registration = createRegistration({ driverName, endpoint: csi.socketPath, logger });
  const socketPath = join(folder, `${driverName}-reg.sock`);
  const open = () =>
    GrpcServer.open({ socketPath, routes: registration.routes, clock: systemClock, logger, takeOverWaitMs: 0 });
  const server = await open();
  return {
    kubelet,
    registration,
    socketPath,
    server,
    open,
    logged: (level: string) => lines.filter((line) => line.level === level),
    async [Symbol.asyncDispose]() {
      kubelet[Symbol.dispose]();
      await server.close();
    },
  };
}

test("kubelet finds the driver, reaches its CSI socket and registers it", async () => {
  await using csi = await useCsiServer();
  await using registering = await useRegistration(csi);
  const { kubelet, registration, socketPath } = registering;
  assert.equal(registration.isRegistered(), false);
  const { path } = await kubelet.event("create");
  assert.equal(path, socketPath);
  const { info, nodeId } = await kubelet.register(path);
  assert.deepEqual(info, {
    type: "CSIPlugin",
    name: driverName,
    endpoint: csi.socketPath,
    supportedVersions: ["1.0.0"],
  });
  assert.equal(nodeId, "node-1");
  assert.equal(registration.isRegistered(), true);
  assert.equal(registering.logged("info").at(-1)?.msg, "kubelet registered the driver");
});

test("a refused registration is a warning, is not the end, and is forgotten once kubelet takes the driver", async () => {
  await using csi = await useCsiServer();
  await using registering = await useRegistration(csi);
  const { kubelet, registration, socketPath } = registering;
  await kubelet.register(socketPath);
  await kubelet.notify(socketPath, { pluginRegistered: false, error: `no\n${"x".repeat(5000)}` });
  assert.equal(registration.isRegistered(), false);
  const [warning] = registering.logged("warn");
  assert.equal(warning?.["error"], `no\n${"x".repeat(997)}`);
  await kubelet.register(socketPath);
  assert.equal(registration.isRegistered(), true);
});

test("GetInfo alone, as health checks ask it, changes nothing", async () => {
  await using csi = await useCsiServer();
  await using registering = await useRegistration(csi);
  await registering.kubelet.register(registering.socketPath);
  await registering.kubelet.getInfo(registering.socketPath);
  assert.equal(registering.registration.isRegistered(), true);
});

test("GetInfo is answered within kubelet's second beside a thousand idle connections and hanging calls", async () => {
  await using csi = await useCsiServer();
  await using registering = await useRegistration(csi);
  csi.volumes.onPublish = ({ signal }) =>
    new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true }));
  using clients = useConnectClients(csi.socketPath);
  const capability = { accessType: { case: "mount" as const, value: {} } };
  const stop = new AbortController();
  const hanging = Array.from({ length: 20 }, (_, i) =>
    clients.node
      .nodePublishVolume({ volumeId: `v${i}`, targetPath: "/t", volumeCapability: capability }, { signal: stop.signal })
      .catch(() => undefined),
  );
  const idle: Socket[] = [];
  while (idle.length < 1000) {
    const socket = connect(registering.socketPath).on("error", () => undefined);
    await once(socket, "connect");
    idle.push(socket);
  }
  assert.equal((await registering.kubelet.getInfo(registering.socketPath)).name, driverName);
  stop.abort();
  await Promise.all(hanging);
  for (const socket of idle) socket.destroy();
});

test("kubelet sees the socket go and come when the driver restarts", async () => {
  await using csi = await useCsiServer();
  await using registering = await useRegistration(csi);
  const { kubelet, server, socketPath } = registering;
  await kubelet.event("create");
  await server.close();
  assert.equal((await kubelet.event("remove")).path, socketPath);
  const next = await registering.open();
  await kubelet.register((await kubelet.event("create", 1)).path);
  await next.close();
});

test("a registrar that is there already is named", async () => {
  await using csi = await useCsiServer();
  await using registering = await useRegistration(csi);
  await assert.rejects(
    registering.open(),
    (error) =>
      error instanceof DriverError && /registers the CSI driver csi\.oras\.land .* answers there/.test(error.message),
  );
});
