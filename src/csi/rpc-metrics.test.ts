import assert from "node:assert/strict";
import { test } from "node:test";
import { useCsiServer } from "../../test/csi/csi-server.ts";
import { type Clock, DriverError, systemClock } from "../base/index.ts";

const capability = { accessType: { case: "mount" as const, value: {} } };
const publish = { volumeId: "v1", targetPath: "/t", volumeCapability: capability };

test("each call is told with its method, code and duration, and nothing of the request", async () => {
  let ms = 0;
  const clock: Clock = { ...systemClock, monotonicMs: () => ms };
  const told: object[] = [];
  await using csi = await useCsiServer({ clock, observer: { rpcDone: (call) => void told.push(call) } });
  csi.volumes.onPublish = async () => {
    ms += 2500;
  };
  await csi.clients.node.nodePublishVolume(publish);
  csi.volumes.onPublish = () => Promise.reject(new DriverError("in-progress", "pulling a secret place"));
  await assert.rejects(csi.clients.node.nodePublishVolume(publish));
  csi.volumes.onPublish = () => Promise.reject(new TypeError("a fault"));
  await assert.rejects(csi.clients.node.nodePublishVolume(publish));
  await assert.rejects(csi.clients.node.nodePublishVolume({}));
  await csi.clients.identity.probe({});
  assert.deepEqual(told, [
    { method: "NodePublishVolume", code: "OK", seconds: 2.5 },
    { method: "NodePublishVolume", code: "ABORTED", seconds: 0 },
    { method: "NodePublishVolume", code: "INTERNAL", seconds: 0 },
    { method: "NodePublishVolume", code: "INVALID_ARGUMENT", seconds: 0 },
    { method: "Probe", code: "OK", seconds: 0 },
  ]);
});

test("a call that its caller gave up is told when its handler ends", async () => {
  const told = Promise.withResolvers<{ code: string }>();
  const caller = new AbortController();
  await using csi = await useCsiServer({ observer: { rpcDone: told.resolve } });
  csi.volumes.onPublish = ({ signal }) =>
    new Promise((_, reject) => {
      const giveUp = () => reject(new DriverError("cancelled", "the caller went away"));
      if (signal.aborted) giveUp();
      else signal.addEventListener("abort", giveUp, { once: true });
      caller.abort();
    });
  await assert.rejects(csi.clients.node.nodePublishVolume(publish, { signal: caller.signal }));
  assert.match((await told.promise).code, /^(CANCELED|DEADLINE_EXCEEDED)$/);
});
