import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdir, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { createConnectClient, createGrpcJsClient, type CsiClient, Sandbox } from "../driver/index.ts";
import { artifact, EmbeddedRegistry, fileLayer } from "../registry/index.ts";
import { assertNothingLeft, attributes, pushThing, REAL, rejectsWith } from "./support.ts";

const FREEZABLE = { skip: REAL.skip || whyNoFreezing() };

for (const connect of [createConnectClient, createGrpcJsClient]) {
  test(`a data dir that turns read-only is STORAGE_UNREACHABLE until it is back (${connect.name})`, REAL, async () => {
    await using sandbox = await sandboxOnTmpfs("1m");
    using client = connect(sandbox.socketPath);
    assert.ok((await client.nodeCapabilities()).includes("GET_STORAGE_HEALTH"));
    assert.deepEqual(await client.storageHealth(), []);
    assert.deepEqual(await readdir(tmpOf(sandbox)), []);

    run("mount", "-o", "remount,ro", tmpOf(sandbox));
    const message = await onlyEntry(client, "STORAGE_UNREACHABLE", "DataDirReadOnly");
    assert.ok(message.startsWith(`the data dir ${sandbox.dataDir} is read-only (EROFS): `), message);
    assert.deepEqual(await client.probe(), { ready: true });

    run("mount", "-o", "remount,rw", tmpOf(sandbox));
    assert.deepEqual(await client.storageHealth(), []);
  });
}

test("calls that a read-only data dir is in the way of say so, and work once it is back", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  await using sandbox = await Sandbox.start();
  const [known, other] = await Promise.all(
    ["known", "other"].map((name) => pushThing(registry, artifact([fileLayer("file", name)]), name)),
  );
  const volumeOf = (reference = "", readOnly = true) =>
    sandbox.kubelet.volume({ attributes: attributes(reference), readOnly });
  const published = [volumeOf(known), volumeOf(known, false)];
  for (const volume of published) await volume.publish();
  // What is open stays open: a mount over the data dir, since the driver's lock forbids to remount it.
  run("mount", "--bind", sandbox.dataDir, sandbox.dataDir);
  run("mount", "-o", "remount,bind,ro", sandbox.dataDir);
  const says = /the driver's data dir is read-only \(EROFS\)/;
  for (const volume of [volumeOf(known), volumeOf(known, false), volumeOf(other)])
    await rejectsWith(volume.publish(), "UNAVAILABLE", says);
  for (const volume of published) await volume.publish();
  for (const volume of published) await rejectsWith(volume.unpublish(), "UNAVAILABLE", says);
  run("umount", "--lazy", sandbox.dataDir);
  for (const volume of published) await volume.unpublish();
  await assertNothingLeft(sandbox);
});

test("a full disk is STORAGE_UNREACHABLE: nothing can be written", REAL, async () => {
  await using sandbox = await sandboxOnTmpfs("64k");
  using client = createConnectClient(sandbox.socketPath);
  const filler = join(tmpOf(sandbox), "filler");
  await assert.rejects(writeFile(filler, Buffer.alloc(65_537)), { code: "ENOSPC" });
  assert.match(await onlyEntry(client, "STORAGE_UNREACHABLE", "DataDirFull"), /full \(ENOSPC\)/);
  assert.deepEqual(await readdir(tmpOf(sandbox)), ["filler"]);
  await rm(filler);
  assert.deepEqual(await client.storageHealth(), []);
});

test("a disk that hangs is STORAGE_UNREACHABLE within seconds, and the driver answers", FREEZABLE, async () => {
  await using sandbox = await Sandbox.start();
  const image = join(sandbox.folder, "image");
  await writeFile(image, "");
  await truncate(image, 16 * 1024 * 1024);
  run("mkfs.ext4", "-q", image);
  run("mount", "-o", "loop", image, tmpOf(sandbox));
  using client = createConnectClient(sandbox.socketPath);
  assert.deepEqual(await client.storageHealth(), []);
  run("fsfreeze", "--freeze", tmpOf(sandbox));
  try {
    const asked = [client.storageHealth(), client.storageHealth()];
    assert.deepEqual(await client.probe(), { ready: true });
    for (const [entry] of await Promise.all(asked)) {
      assert.deepEqual([entry?.status, entry?.reason], ["STORAGE_UNREACHABLE", "DataDirHangs"]);
    }
    await onlyEntry(client, "STORAGE_UNREACHABLE", "DataDirHangs");
  } finally {
    run("fsfreeze", "--unfreeze", tmpOf(sandbox));
  }
  // The write that hung ends soon, and with it what it says.
  while ((await client.storageHealth()).length > 0) await setImmediate();
});

/**
 * A driver over whose tmp/ a file system of its own is mounted. Not the whole data dir: while the driver holds its lock,
 * the kernel takes no plain remount of what that is on.
 */
async function sandboxOnTmpfs(size: string): Promise<Sandbox> {
  const sandbox = await Sandbox.start();
  try {
    run("mount", "-t", "tmpfs", "-o", `size=${size}`, "tmpfs", tmpOf(sandbox));
    return sandbox;
  } catch (reason) {
    await sandbox[Symbol.asyncDispose]();
    throw reason;
  }
}

function tmpOf(sandbox: Sandbox): string {
  return join(sandbox.dataDir, "tmp");
}

async function onlyEntry(client: CsiClient, status: string, reason: string): Promise<string> {
  const [entry, ...more] = await client.storageHealth();
  assert.deepEqual([entry?.status, entry?.reason, more], [status, reason, []]);
  return entry?.message ?? "";
}

function run(command: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: "utf8" });
  assert.equal(status, 0, stderr);
}

/** Why there is no disk here that can be made to hang; false when there is. */
function whyNoFreezing(): string | false {
  const commands: readonly (readonly [string, string])[] = [
    ["losetup", "--find"],
    ["mkfs.ext4", "-V"],
    ["fsfreeze", "--version"],
  ];
  const lacking = commands.find(([command, flag]) => spawnSync(command, [flag]).status !== 0);
  return lacking === undefined ? false : `${lacking.join(" ")} does not work here`;
}
