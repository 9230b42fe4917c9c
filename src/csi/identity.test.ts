import assert from "node:assert/strict";
import { test } from "node:test";
import { useCsiServer } from "../../test/csi/csi-server.ts";

test("the plugin tells its name and version, and no capability", async () => {
  await using csi = await useCsiServer();
  const { identity } = csi.clients;
  const info = await identity.getPluginInfo({});
  assert.deepEqual([info.name, info.vendorVersion], ["csi.oras.land", "1.2.3"]);
  assert.deepEqual((await identity.getPluginCapabilities({})).capabilities, []);
});

test("Probe is OK and not ready until the driver is", async () => {
  let ready = false;
  await using csi = await useCsiServer({ isReady: () => ready });
  assert.equal((await csi.clients.identity.probe({})).ready, false);
  ready = true;
  assert.equal((await csi.clients.identity.probe({})).ready, true);
});
