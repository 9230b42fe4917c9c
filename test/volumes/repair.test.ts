import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { type KubeletVolume, Sandbox, unmountBelow } from "../driver/index.ts";
import { attributes, pushThing, REAL } from "../integration/support.ts";
import { artifact, EmbeddedRegistry, fileLayer } from "../registry/index.ts";

/** A node's restart: the driver is gone, and so are all mounts. */
async function restartNode(sandbox: Sandbox & { driver: { stop(signal: "SIGKILL"): Promise<unknown> } }) {
  await sandbox.driver.stop("SIGKILL");
  unmountBelow(sandbox.folder);
}

async function recordsLeft(sandbox: Sandbox, count: number): Promise<void> {
  const names = async () => (await sandbox.dataNames("volumes")).filter((name) => name.endsWith(".json"));
  while ((await names()).length > count) await new Promise(setImmediate);
  assert.equal((await names()).length, count);
}

test(
  "after a node's restart volumes of pods that went meanwhile are forgotten, others keep what was written",
  REAL,
  async () => {
    await using registry = await EmbeddedRegistry.start();
    const asked = attributes(await pushThing(registry, artifact([fileLayer("a", "a\n")])));
    await using sandbox = await Sandbox.start();
    const volumes = [true, false, false].map((readOnly) => sandbox.kubelet.volume({ attributes: asked, readOnly }));
    for (const one of volumes) await one.publish();
    const [reader, gone, kept] = volumes as [KubeletVolume, KubeletVolume, KubeletVolume];
    for (const one of [gone, kept]) await writeFile(join(one.targetPath, "mine"), "m");
    await restartNode(sandbox);
    const podsFolder = join(sandbox.kubeletFolder, "pods");
    for (const one of [reader, gone]) await rm(join(podsFolder, one.podUid), { recursive: true });
    await sandbox.startDriver();
    await recordsLeft(sandbox, 1);
    await kept.publish();
    assert.equal(await readFile(join(kept.targetPath, "mine"), "utf8"), "m");
    await kept.unpublish();
    assert.deepEqual(await sandbox.dataNames("volumes"), []);
  },
);

for (const isThere of [false, true]) {
  const what = isThere ? "an empty pods folder" : "no pods folder";
  test(`a driver that sees ${what} forgets nothing`, REAL, () => forgetsNothing(isThere));
}

async function forgetsNothing(isThere: boolean): Promise<void> {
  await using registry = await EmbeddedRegistry.start();
  const asked = attributes(await pushThing(registry, artifact([fileLayer("a", "a\n")])));
  await using sandbox = await Sandbox.start();
  const volume = sandbox.kubelet.volume({ attributes: asked, readOnly: false });
  await volume.publish();
  await writeFile(join(volume.targetPath, "mine"), "m");
  await restartNode(sandbox);
  const podsFolder = join(sandbox.kubeletFolder, "pods");
  await rename(podsFolder, `${podsFolder}-hidden`);
  if (isThere) await mkdir(podsFolder);
  const blind = await sandbox.startDriver();
  await blind.said(/no pod's folder can be seen/);
  await blind.stop("SIGKILL");
  await rm(podsFolder, { recursive: true, force: true });
  await rename(`${podsFolder}-hidden`, podsFolder);
  await sandbox.startDriver();
  await volume.publish();
  assert.equal(await readFile(join(volume.targetPath, "mine"), "utf8"), "m");
  await volume.unpublish();
  assert.equal(existsSync(dirname(volume.targetPath)), false);
}
