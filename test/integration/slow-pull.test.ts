import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createConnectClient, createGrpcJsClient, Sandbox } from "../driver/index.ts";
import { artifact, EmbeddedRegistry, fileLayer, folderLayer } from "../registry/index.ts";
import {
  abortedWithProgress,
  assertBlobsWhole,
  assertNothingLeft,
  attributes,
  pushThing,
  REAL,
  rejectsWith,
} from "./support.ts";

const content = randomBytes(4_000_000);
const big = fileLayer("big", content);

/** A registry that sends half of every large blob and the rest when it is told. */
async function startHalfway(): Promise<EmbeddedRegistry & { readonly release: () => void }> {
  const registry = await EmbeddedRegistry.start();
  const gate = Promise.withResolvers<void>();
  registry.fault = ({ method, path }) =>
    method === "GET" && path.includes("/blobs/")
      ? { kind: "hold", afterBytes: 2_000_000, until: gate.promise }
      : undefined;
  return Object.assign(registry, { release: gate.resolve });
}

for (const connect of [createConnectClient, createGrpcJsClient]) {
  test(`near its deadline a call answers with progress; a later one joins (${connect.name})`, REAL, async () => {
    await using registry = await startHalfway();
    const reference = await pushThing(registry, artifact([big]));
    await using sandbox = await Sandbox.start({ connect });
    registry.log.clear();
    const volume = sandbox.kubelet.volume({ attributes: attributes(reference) });
    const aborted = await abortedWithProgress(() => volume.publish({ timeoutMs: 5_000 }));
    assert.match(aborted.message, /team\/thing/);
    assert.deepEqual(sandbox.mounts(), []);

    const joined = volume.publish();
    const late = sandbox.kubelet.volume({ attributes: attributes(reference) });
    const joinedToo = late.publish();
    registry.release();
    await Promise.all([joined, joinedToo]);
    assert.deepEqual(await readFile(join(volume.targetPath, "big")), content);
    assert.equal(registry.log.blobGets(big.digest).length, 1);
    await volume.unpublish();
    await late.unpublish();
    await assertNothingLeft(sandbox);
  });
}

test("a pull goes on while nobody waits, and is done when kubelet comes back", REAL, async () => {
  await using registry = await startHalfway();
  const reference = await pushThing(registry, artifact([big]));
  await using sandbox = await Sandbox.start();
  registry.log.clear();
  const volume = sandbox.kubelet.volume({ attributes: attributes(reference) });
  await rejectsWith(volume.publish({ timeoutMs: 5_000 }), "ABORTED");
  registry.release();
  await registry.log.waitFor(({ path, finished }) => finished && path.endsWith(big.digest));
  await volume.publish();
  assert.equal(registry.log.blobGets(big.digest).length, 1);
  assert.deepEqual(await readFile(join(volume.targetPath, "big")), content);
});

test("a pull that failed while nobody waited tells the next call, once", REAL, async () => {
  await using registry = await startHalfway();
  const reference = await pushThing(registry, artifact([big]));
  registry.content.putBlob("team/thing", big.digest, randomBytes(content.length));
  await using sandbox = await Sandbox.start();
  const volume = sandbox.kubelet.volume({ attributes: attributes(reference) });
  await rejectsWith(volume.publish({ timeoutMs: 5_000 }), "ABORTED");
  registry.release();
  await rejectsWith(volume.publish(), "DATA_LOSS");
  registry.content.putBlob("team/thing", big.digest, content);
  await volume.publish();
  assert.deepEqual(await readFile(join(volume.targetPath, "big")), content);
});

for (const kind of ["file", "folder"] as const) {
  test(`unpublish during the pull of a ${kind} cancels it and leaves nothing`, REAL, async () => {
    await using registry = await startHalfway();
    const layer = kind === "file" ? big : await folderLayer("folder", { big: content });
    const reference = await pushThing(registry, artifact([layer]));
    await using sandbox = await Sandbox.start();
    const volume = sandbox.kubelet.volume({ attributes: attributes(reference) });
    const published = assert.rejects(volume.publish());
    await registry.log.waitFor(({ bytesSent }) => bytesSent === 2_000_000);
    using client = sandbox.driver.connect();
    await client.unpublish(volume.volumeId, volume.targetPath);
    await published;
    await registry.log.waitFor(({ path, finished }) => finished && path.endsWith(layer.digest));
    await assertNothingLeft(sandbox);
    assert.deepEqual(await sandbox.dataNames("trees"), []);
    await assertBlobsWhole(sandbox);

    registry.release();
    const later = sandbox.kubelet.volume({ attributes: attributes(reference) });
    await later.publish();
    assert.deepEqual(await readFile(join(later.targetPath, kind === "file" ? "big" : "folder/big")), content);
  });
}

test("one of two waiting volumes goes; the pull goes on for the other", REAL, async () => {
  await using registry = await startHalfway();
  const reference = await pushThing(registry, artifact([big]));
  await using sandbox = await Sandbox.start();
  registry.log.clear();
  const [leaving, staying] = [1, 2].map(() => sandbox.kubelet.volume({ attributes: attributes(reference) }));
  assert.ok(leaving && staying);
  const left = assert.rejects(leaving.publish());
  await registry.log.waitFor(({ bytesSent }) => bytesSent === 2_000_000);
  await staying.prepareFolder();
  using client = sandbox.driver.connect();
  const stayed = client.publish(staying.request());
  // The answer on the same connection says that the call before it has arrived.
  await client.probe();
  await client.unpublish(leaving.volumeId, leaving.targetPath);
  await left;
  registry.release();
  await stayed;
  assert.deepEqual(await readFile(join(staying.targetPath, "big")), content);
});

test("Probe is answered while a pull is under way", REAL, async () => {
  await using registry = await startHalfway();
  const reference = await pushThing(registry, artifact([big]));
  await using sandbox = await Sandbox.start();
  const volume = sandbox.kubelet.volume({ attributes: attributes(reference) });
  const published = volume.publish();
  await registry.log.waitFor(({ bytesSent }) => bytesSent === 2_000_000);
  using client = sandbox.driver.connect();
  assert.deepEqual(await client.probe({ timeoutMs: 3_000 }), { ready: true });
  registry.release();
  await published;
});
