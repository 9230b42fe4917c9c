import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { PluginManager, Sandbox } from "../driver/index.ts";
import { REAL } from "./support.ts";

/** A node without a registrar: kubelet watches its plugins_registry, the driver serves registration from there. */
async function useNode() {
  const sandbox = await Sandbox.create();
  const folder = join(sandbox.kubeletFolder, "plugins_registry");
  await mkdir(folder, { recursive: true });
  const plugins = new PluginManager(folder);
  const flags = [`--registration-dir=${folder}`, `--kubelet-registration-path=${sandbox.socketPath}`];
  return {
    sandbox,
    plugins,
    registrationSocket: join(folder, "csi.oras.land-reg.sock"),
    flags,
    async [Symbol.asyncDispose]() {
      plugins[Symbol.dispose]();
      await sandbox[Symbol.asyncDispose]();
    },
  };
}

test("kubelet registers the driver without a sidecar, and again after each restart", REAL, async () => {
  await using node = await useNode();
  const { sandbox, plugins, registrationSocket, flags } = node;
  const first = await sandbox.startDriver(flags);
  const { path } = await plugins.event("create");
  assert.equal(path, registrationSocket);
  const { info, nodeId } = await plugins.register(path);
  assert.equal(info.endpoint, sandbox.socketPath);
  assert.equal(nodeId, "test-node");
  await first.said(/kubelet registered the driver/);

  // A kubelet that restarts finds the socket that is there and asks again.
  await plugins.register(path);

  assert.equal((await first.stop()).code, 0);
  assert.equal((await plugins.event("remove")).path, registrationSocket);
  const second = await sandbox.startDriver(flags);
  await plugins.register((await plugins.event("create", 1)).path);

  // Killed, it leaves its socket; the next one's takes its place, which is a new file to kubelet.
  await second.stop("SIGKILL");
  await sandbox.startDriver(flags);
  await plugins.register((await plugins.event("create", 2)).path);
});

test("a driver that ends does not take the socket of the one that replaced it", REAL, async () => {
  await using node = await useNode();
  const { sandbox, plugins, registrationSocket, flags } = node;
  const old = await sandbox.startDriver(flags);
  for (const path of [registrationSocket, sandbox.socketPath]) await rm(path);
  const next = sandbox.launchDriver({ flags, dataDir: join(sandbox.folder, "other-data") });
  await next.ready();
  assert.equal((await old.stop()).code, 0);
  assert.ok(existsSync(registrationSocket) && existsSync(sandbox.socketPath));
  await plugins.register(registrationSocket);
});

test(
  "a driver that finds a registrar at its socket gives up, says why, and leaves no socket behind",
  REAL,
  async () => {
    await using node = await useNode();
    const { sandbox, plugins, registrationSocket, flags } = node;
    await sandbox.startDriver(flags);
    const socketPath = join(sandbox.folder, "other.sock");
    const second = sandbox.launchDriver({ flags, socketPath, dataDir: join(sandbox.folder, "other-data") });
    assert.equal((await second.exited).code, 1);
    assert.match(second.output, /cannot listen on .*-reg\.sock: who registers the CSI driver csi\.oras\.land/);
    assert.equal(existsSync(socketPath), false);
    await plugins.register(registrationSocket);
  },
);

test("a driver that cannot use its data dir ends, and takes its sockets along", REAL, async () => {
  await using node = await useNode();
  const { sandbox, registrationSocket, flags } = node;
  const blobs = join(sandbox.dataDir, "blobs");
  await mkdir(blobs, { recursive: true });
  execFileSync("mount", ["-t", "tmpfs", "-o", "ro", "none", blobs]);
  const driver = sandbox.launchDriver({ flags });
  assert.equal((await driver.exited).code, 1);
  assert.match(driver.output, /cannot write the data dir/);
  assert.deepEqual([registrationSocket, sandbox.socketPath].filter(existsSync), []);
});
