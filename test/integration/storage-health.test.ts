import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createConnectClient, createGrpcJsClient, type CsiClient, Sandbox } from "../driver/index.ts";
import { REAL } from "./support.ts";

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

test("a full disk is STORAGE_DEGRADED", REAL, async () => {
  await using sandbox = await sandboxOnTmpfs("64k");
  using client = createConnectClient(sandbox.socketPath);
  const filler = join(tmpOf(sandbox), "filler");
  await assert.rejects(writeFile(filler, Buffer.alloc(65_537)), { code: "ENOSPC" });
  assert.match(await onlyEntry(client, "STORAGE_DEGRADED", "DataDirFull"), /full \(ENOSPC\)/);
  assert.deepEqual(await readdir(tmpOf(sandbox)), ["filler"]);
  await rm(filler);
  assert.deepEqual(await client.storageHealth(), []);
});

/**
 * A driver whose tmp/ is a file system of its own. Not the whole data dir: while the driver holds its lock, the kernel
 * takes no plain remount of what that is on.
 */
async function sandboxOnTmpfs(size: string): Promise<Sandbox> {
  const sandbox = await Sandbox.create();
  try {
    await mkdir(tmpOf(sandbox), { recursive: true });
    run("mount", "-t", "tmpfs", "-o", `size=${size}`, "tmpfs", tmpOf(sandbox));
    await sandbox.startDriver();
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
