import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { type CsiServer, type LogLine, useCsiServer } from "../../test/csi/csi-server.ts";
import { type Clock, DriverError, systemClock } from "../base/index.ts";

const capability = { accessType: { case: "mount" as const, value: {} } };
const publish = { volumeId: "v1", targetPath: "/t", volumeCapability: capability };

/** Lines about calls; the rest is about connections. */
function calls(csi: CsiServer): LogLine[] {
  return csi.logged.filter((line) => line.msg.startsWith("call "));
}

function levels(csi: CsiServer): string[] {
  return calls(csi).map((line) => line.level);
}

/** A clock that a test moves by hand; timers run on the machine's. */
function movableClock(): Clock & { move(byMs: number): void } {
  let ms = 1000;
  return { now: () => ms, monotonicMs: () => ms, after: systemClock.after, move: (byMs) => (ms += byMs) };
}

test("what is asked all day is at debug", async () => {
  await using csi = await useCsiServer();
  const { identity, node } = csi.clients;
  csi.volumes.onStats = () => {
    const none = { used: 0, total: 0, available: 0 };
    return Promise.resolve({ bytes: none, inodes: none });
  };
  await identity.probe({});
  await identity.getPluginInfo({});
  await identity.getPluginCapabilities({});
  await node.nodeGetCapabilities({});
  await node.nodeGetInfo({});
  await node.nodeGetVolumeStats({ volumeId: "v1", volumePath: "/t" });
  await node.nodeGetVolumeHealth({ volumeId: "v1" });
  await node.nodeGetStorageHealth({});
  assert.deepEqual(levels(csi), Array(8).fill("debug"));
});

test("a volume that comes or goes is one line at info, a publish of what is there is at debug", async () => {
  await using csi = await useCsiServer();
  const { node } = csi.clients;
  await node.nodePublishVolume(publish);
  csi.volumes.outcome = "unchanged";
  await node.nodePublishVolume(publish);
  await node.nodeUnpublishVolume({ volumeId: "v1", targetPath: "/t" });
  csi.volumes.outcome = "published";
  await node.nodePublishVolume(publish);
  assert.deepEqual(levels(csi), ["info", "debug", "info", "info"]);
  const [line] = calls(csi);
  assert.deepEqual([line?.["method"], line?.["code"], line?.["volumeId"]], ["NodePublishVolume", "OK", "v1"]);
  assert.equal(typeof line?.["durationMs"], "number");
});

test("the same failure is a warning once a minute, another one at once", async () => {
  const clock = movableClock();
  await using csi = await useCsiServer({ clock });
  let why = "cannot pull a: no";
  csi.volumes.onPublish = () => Promise.reject(new DriverError("refused", why));
  const attempt = () => assert.rejects(csi.clients.node.nodePublishVolume(publish));
  await attempt();
  clock.move(59_000);
  await attempt();
  clock.move(1000);
  await attempt();
  why = "cannot pull a: still no";
  await attempt();
  assert.deepEqual(levels(csi), ["warn", "debug", "warn", "warn"]);
  const [line] = calls(csi);
  assert.deepEqual([line?.["code"], line?.["error"]], ["FAILED_PRECONDITION", "cannot pull a: no"]);
});

test("a fault of the driver is logged with its place, and told without", async () => {
  await using csi = await useCsiServer();
  csi.volumes.onPublish = () => Promise.reject(new TypeError("x is not a function"));
  await assert.rejects(csi.clients.node.nodePublishVolume(publish), (error) => {
    assert.ok(error instanceof ConnectError);
    return error.code === Code.Internal && !error.message.includes("x is not");
  });
  const [line] = calls(csi);
  assert.match(String(line?.["trace"]), /x is not a function[\s\S]*rpc-log\.test\.ts/);
});

test("no secret, context or path of a request is in any line", async () => {
  await using csi = await useCsiServer();
  const secret = { secrets: { password: "hunter2" }, volumeContext: { token: "hunter2" } };
  await csi.clients.node.nodePublishVolume({ ...publish, ...secret });
  csi.volumes.onPublish = () => Promise.reject(new DriverError("unauthenticated", "no"));
  await assert.rejects(csi.clients.node.nodePublishVolume({ ...publish, ...secret }));
  assert.ok(calls(csi).length === 2 && !JSON.stringify(csi.logged).includes("hunter2"));
});
