import assert from "node:assert/strict";
import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { Sandbox } from "../driver/index.ts";
import { artifact, fileLayer, folderLayer } from "../registry/index.ts";
import {
  assertBlobsWhole,
  assertNothingLeft,
  attributes,
  pushThing,
  REAL,
  startRegistry,
  textFiles,
} from "./support.ts";

test("a writable volume takes writes of its own, and the cache is never touched", REAL, async () => {
  await using registry = await startRegistry();
  const layers = [fileLayer("a", "a\n"), fileLayer("b", "b\n"), await folderLayer("conf", { x: "x\n", y: "y\n" })];
  const reference = await pushThing(registry, artifact(layers));
  await using sandbox = await Sandbox.start();
  const asked = attributes(reference);
  const writable = sandbox.kubelet.volume({ attributes: asked, readOnly: false });
  const twin = sandbox.kubelet.volume({ attributes: asked, readOnly: false });
  const readOnly = sandbox.kubelet.volume({ attributes: asked });
  for (const volume of [writable, twin, readOnly]) await volume.publish();
  assert.equal((await stat(writable.targetPath)).mode & 0o7777, 0o777);

  const at = (path: string) => join(writable.targetPath, path);
  await writeFile(at("a"), "changed\n");
  await rm(at("b"));
  await rm(at("conf"), { recursive: true });
  await mkdir(at("conf"));
  await writeFile(at("conf/new"), "new\n");
  const changed = { a: "changed\n", "conf/new": "new\n" };
  assert.deepEqual(await textFiles(writable.targetPath), changed);

  const original = { a: "a\n", b: "b\n", "conf/x": "x\n", "conf/y": "y\n" };
  assert.deepEqual(await textFiles(readOnly.targetPath), original);
  assert.deepEqual(await textFiles(twin.targetPath), original);
  await assertBlobsWhole(sandbox);

  await writable.publish();
  assert.deepEqual(await textFiles(writable.targetPath), changed, "a republish keeps the writes");
  await writable.unpublish();
  const again = sandbox.kubelet.volume({ attributes: asked, readOnly: false });
  await again.publish();
  assert.deepEqual(await textFiles(again.targetPath), original, "the writes went with their volume");
  for (const volume of [again, twin, readOnly]) await volume.unpublish();
  await assertNothingLeft(sandbox);
});

test("fsGroup gives the root of a writable volume its group, and the bit that hands it on", REAL, async () => {
  await using registry = await startRegistry();
  const reference = await pushThing(registry, artifact([fileLayer("a", "a\n")]));
  await using sandbox = await Sandbox.start();
  const volume = sandbox.kubelet.volume({ attributes: attributes(reference), readOnly: false, fsGroup: "4321" });
  await volume.publish();
  const root = await stat(volume.targetPath);
  assert.deepEqual([root.gid, root.mode & 0o2000], [4321, 0o2000]);
  await writeFile(join(volume.targetPath, "mine"), "m");
  assert.equal((await stat(join(volume.targetPath, "mine"))).gid, 4321);
});

test("a writable volume survives a killed driver with its writes", REAL, async () => {
  await using registry = await startRegistry();
  const reference = await pushThing(registry, artifact([fileLayer("a", "a\n")]));
  await using sandbox = await Sandbox.start();
  const volume = sandbox.kubelet.volume({ attributes: attributes(reference), readOnly: false });
  await volume.publish();
  await writeFile(join(volume.targetPath, "mine"), "m");
  await sandbox.driver.stop("SIGKILL");
  await sandbox.startDriver();
  await volume.publish();
  assert.equal(await readFile(join(volume.targetPath, "mine"), "utf8"), "m");
  await volume.unpublish();
  await assertNothingLeft(sandbox);
});

test("a reader-only access mode, a ro mount flag and a PersistentVolume are read-only", REAL, async () => {
  await using registry = await startRegistry();
  const reference = await pushThing(registry, artifact([fileLayer("a", "a\n")]));
  await using sandbox = await Sandbox.start();
  using client = sandbox.driver.connect();
  const rows = [
    { accessMode: "SINGLE_NODE_READER_ONLY" as const },
    { accessMode: "MULTI_NODE_READER_ONLY" as const },
    { mountFlags: ["ro"] },
    { volumeContext: { ...attributes(reference), "csi.storage.k8s.io/ephemeral": "false" } },
  ];
  for (const [at, row] of rows.entries()) {
    const targetPath = join(sandbox.folder, `target-${at}`);
    const asked = { volumeId: `v${at}`, targetPath, readonly: false, volumeContext: attributes(reference), ...row };
    await client.publish(asked);
    await assert.rejects(writeFile(join(targetPath, "a"), "mine"), { code: "EROFS" });
    await client.unpublish(`v${at}`, targetPath);
  }
  await assertNothingLeft(sandbox);
});

test("mount flags are honoured, unknown ones refused", REAL, async () => {
  await using registry = await startRegistry();
  const reference = await pushThing(registry, artifact([fileLayer("a", "a\n")]));
  await using sandbox = await Sandbox.start();
  using client = sandbox.driver.connect();
  for (const readonly of [true, false]) {
    const targetPath = join(sandbox.folder, `target-${readonly}`);
    const asked = { volumeId: "v", targetPath, readonly, volumeContext: attributes(reference) };
    await client.publish({ ...asked, mountFlags: ["noexec", "noatime"] });
    const mount = sandbox.mounts().find(({ target }) => target === targetPath);
    for (const option of ["noexec", "noatime"]) assert.ok(mount?.options.includes(option), option);
    await client.unpublish("v", targetPath);
    await assert.rejects(client.publish({ ...asked, mountFlags: ["noexcuse"] }), { code: "INVALID_ARGUMENT" });
  }
});
