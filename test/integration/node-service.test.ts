import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readlink } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createConnectClient, createGrpcJsClient, Sandbox } from "../driver/index.ts";
import { artifact, EmbeddedRegistry, fileLayer, folderLayer } from "../registry/index.ts";
import { attributes, pushThing, REAL, rejectsWith, textFiles } from "./support.ts";

for (const connect of [createConnectClient, createGrpcJsClient]) {
  test(`the driver says who it is and what it can do (${connect.name})`, REAL, async () => {
    await using sandbox = await Sandbox.start({ flags: ["--driver-name=csi.other.test", "--node-id=node-7"] });
    using client = connect(sandbox.socketPath);
    const info = await client.pluginInfo();
    assert.equal(info.name, "csi.other.test");
    assert.match(info.vendorVersion, /^\d+\.\d+\.\d+/);
    assert.equal(await client.nodeId(), "node-7");
    assert.deepEqual(await client.pluginCapabilities(), []);
    const capabilities = await client.nodeCapabilities();
    for (const name of ["GET_VOLUME_STATS", "VOLUME_MOUNT_GROUP", "GET_VOLUME_HEALTH"]) {
      assert.ok(capabilities.includes(name), name);
    }
    assert.deepEqual(await client.probe(), { ready: true });
  });
}

test("stats of a read-only volume count its tree, those of a writable one its own writes", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const layers = [fileLayer("a", "12345"), await folderLayer("folder", { b: "1234567" })];
  const reference = await pushThing(registry, artifact(layers));
  await using sandbox = await Sandbox.start();
  const readOnly = sandbox.kubelet.volume({ attributes: attributes(reference) });
  await readOnly.publish();
  const [bytes, inodes] = await byUnit(readOnly.stats());
  assert.deepEqual([bytes?.used, bytes?.total], [12, 12]);
  assert.ok(inodes && inodes.used >= 3 && inodes.used === inodes.total, JSON.stringify(inodes));

  const writable = sandbox.kubelet.volume({ attributes: attributes(reference), readOnly: false });
  await writable.publish();
  const [own] = await byUnit(writable.stats());
  assert.ok(own && own.total > 1_000_000 && own.available > 0 && own.used < 1_000_000, JSON.stringify(own));
});

test("stats and health of what is not published there are NOT_FOUND", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const reference = await pushThing(registry, artifact([fileLayer("a", "a")]));
  await using sandbox = await Sandbox.start();
  const volume = sandbox.kubelet.volume({ attributes: attributes(reference) });
  await volume.publish();
  using client = sandbox.driver.connect();
  await rejectsWith(client.stats("unknown", "some/path"), "NOT_FOUND");
  await rejectsWith(client.stats(volume.volumeId, sandbox.folder), "NOT_FOUND");
  await rejectsWith(client.stats("", volume.targetPath), "INVALID_ARGUMENT");
  await rejectsWith(client.stats(volume.volumeId, ""), "INVALID_ARGUMENT");
  await rejectsWith(client.health("unknown", volume.targetPath), "NOT_FOUND");
  await rejectsWith(client.health(volume.volumeId, sandbox.folder), "NOT_FOUND");
});

test("a healthy volume has nothing to report; one whose mount is gone is INACCESSIBLE", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const reference = await pushThing(registry, artifact([fileLayer("a", "a")]));
  await using sandbox = await Sandbox.start();
  const volume = sandbox.kubelet.volume({ attributes: attributes(reference) });
  await volume.publish();
  using client = sandbox.driver.connect();
  assert.deepEqual(await volume.health(), []);
  assert.deepEqual(await client.health(volume.volumeId, ""), []);
  spawnSync("umount", [volume.targetPath]);
  for (const path of [volume.targetPath, ""]) {
    const [entry] = await client.health(volume.volumeId, path);
    assert.equal(entry?.status, "INACCESSIBLE");
    assert.match(entry.reason, /^[A-Z][A-Za-z]+$/);
  }
});

test("names/ leads people from a namespace and a reference to the files", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const reference = await pushThing(registry, artifact([fileLayer("a", "old")]));
  await using sandbox = await Sandbox.start();
  const asked = { attributes: attributes(reference, { "options.pullpolicy": "Always" }), namespace: "team-a" };
  await sandbox.kubelet.volume(asked).publish();
  const name = reference.replace(/[/.:@]/g, "-");
  const link = join(sandbox.dataDir, "names/team-a", name);
  assert.match(await readlink(link), /trees\//);
  assert.deepEqual(await textFiles(`${link}/`), { a: "old" });
  await pushThing(registry, artifact([fileLayer("a", "new")]));
  await sandbox.kubelet.volume(asked).publish();
  assert.deepEqual(await textFiles(`${link}/`), { a: "new" });

  using client = sandbox.driver.connect();
  const targetPath = join(sandbox.folder, "target");
  await client.publish({ volumeId: "v", targetPath, readonly: true, volumeContext: attributes(reference) });
  assert.deepEqual(await sandbox.dataNames("names"), ["_", "team-a"]);
});

test("at info level a quiet driver stays quiet: probes and repeated publishes are no news", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const reference = await pushThing(registry, artifact([fileLayer("a", "a")]));
  await using sandbox = await Sandbox.start({ flags: ["--log-level=info"] });
  const volume = sandbox.kubelet.volume({ attributes: attributes(reference) });
  await volume.publish();
  await sandbox.driver.said(/"NodePublishVolume"/);
  using client = sandbox.driver.connect();
  const before = sandbox.driver.output;
  for (let call = 0; call < 10; call += 1) {
    await client.probe();
    await client.nodeCapabilities();
    await volume.stats();
    await volume.publish();
  }
  await volume.unpublish();
  await sandbox.driver.stop("SIGTERM");
  const news = sandbox.driver.output.slice(before.length);
  assert.doesNotMatch(news, /Probe|NodeGetCapabilities|NodeGetVolumeStats|NodePublishVolume/);
  assert.match(news, /NodeUnpublishVolume/);
});

test("the same failure again is logged once a minute at most", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  await using sandbox = await Sandbox.start({ flags: ["--log-level=info"] });
  const volume = sandbox.kubelet.volume({ attributes: attributes(`${registry.host}/team/none:v1`) });
  for (let call = 0; call < 5; call += 1) await rejectsWith(volume.publish(), "NOT_FOUND");
  await sandbox.driver.stop("SIGTERM");
  const lines = sandbox.driver.output.split("\n").filter((line) => line.includes("team/none"));
  assert.equal(lines.length, 1, lines.join("\n"));
});

async function byUnit<Row extends { unit: string }>(rows: Promise<Row[]>): Promise<(Row | undefined)[]> {
  const all = await rows;
  return ["BYTES", "INODES"].map((unit) => all.find((row) => row.unit === unit));
}
