import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { type KubeletVolume, Sandbox } from "../driver/index.ts";
import { assertNothingLeft, attributes, filesBelow, REAL, textFiles, untilSwept } from "../integration/support.ts";
import { artifact, EmbeddedRegistry, fileLayer, folderLayer, push } from "../registry/index.ts";

const MIB = 1024 * 1024;
const LAYER_BYTES = 8 * MIB;
const POD_USER = 12_345;

/** What a folder takes on disk, each inode once. */
function diskBytes(path: string): number {
  return Number(execFileSync("du", ["--summarize", "--block-size=1", path], { encoding: "utf8" }).split("\t")[0]);
}

async function inodeOf(volume: KubeletVolume, name: string): Promise<number> {
  return (await stat(join(volume.targetPath, name))).ino;
}

test(
  "bytes of layers are on disk once, whatever references, repositories, namespaces and selections use them",
  REAL,
  async () => {
    await using registry = await EmbeddedRegistry.start();
    await using twin = await EmbeddedRegistry.start();
    await using sandbox = await Sandbox.start();
    const content = Buffer.alloc(LAYER_BYTES, "big");
    const big = fileLayer("big", content);
    const folder = await folderLayer("folder", { large: Buffer.alloc(LAYER_BYTES, "folder") });
    const small = fileLayer("small", "small\n");
    await push(registry, "team/one", artifact([big, folder, small]), "v1");
    await push(registry, "team/one", artifact([big, folder]), "v2");
    await push(registry, "other/two", artifact([small, folder, fileLayer("renamed", content)]), "v1");
    await push(twin, "team/one", artifact([big, folder, small]), "v1");
    const bigOnly = { "artifact.layers.title": "big" };
    const asked = [
      { reference: `${registry.host}/team/one:v1`, namespace: "red" },
      { reference: `${registry.host}/team/one:v1`, namespace: "blue" },
      { reference: `${registry.host}/team/one:v1`, namespace: "red", more: bigOnly },
      { reference: `${registry.host}/team/one:v2`, namespace: "red" },
      { reference: `${registry.host}/other/two:v1`, namespace: "green" },
      { reference: `${twin.host}/team/one:v1`, namespace: "red" },
      { reference: `${registry.host}/team/one:v2`, namespace: "red", readOnly: false },
    ];
    const volumes = asked.map(({ reference, namespace, more, readOnly = true }) =>
      sandbox.kubelet.volume({ attributes: attributes(reference, more), namespace, readOnly }),
    );
    await Promise.all(volumes.map((volume) => volume.publish()));
    const names = ["big", "big", "big", "big", "renamed", "big"];
    const inodes = names.map((name, i) => inodeOf(volumes[i] as KubeletVolume, name));
    assert.equal(new Set(await Promise.all(inodes)).size, 1);
    const inFolders = [0, 1, 3, 4, 5].map((i) => inodeOf(volumes[i] as KubeletVolume, "folder/large"));
    assert.equal(new Set(await Promise.all(inFolders)).size, 1);
    // Layers that both registries gave were staged twice; what was not needed is deleted in the background.
    await untilSwept(sandbox);
    const used = diskBytes(sandbox.dataDir);
    assert.ok(used > 2 * LAYER_BYTES && used < 2 * LAYER_BYTES + MIB, `${used} bytes on disk`);
    await Promise.all(volumes.map((volume) => volume.unpublish()));
    await assertNothingLeft(sandbox);
  },
);

test("100 volumes at once of one cold artifact ask for its manifest and for each blob once", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  await using sandbox = await Sandbox.start();
  const layers = [
    fileLayer("a", Buffer.alloc(MIB, "a")),
    await folderLayer("folder", { b: "b\n" }),
    fileLayer("c", "c"),
  ];
  const thing = artifact(layers);
  await push(registry, "team/thing", thing, "v1");
  registry.log.clear();
  const asked = attributes(`${registry.host}/team/thing:v1`);
  const volumes = Array.from({ length: 100 }, () => sandbox.kubelet.volume({ attributes: asked, namespace: "red" }));
  await Promise.all(volumes.map((volume) => volume.publish()));
  const requests = registry.log.entries.map(({ method, path }) => `${method} ${path}`);
  const blobs = thing.blobs.map(({ digest }) => `GET /v2/team/thing/blobs/${digest}`);
  const layerBlobs = blobs.filter((line) => requests.includes(line));
  assert.equal(layerBlobs.length, layers.length);
  assert.deepEqual(requests.sort(), ["GET /v2/team/thing/manifests/v1", ...layerBlobs].sort());
  assert.equal(sandbox.mounts().length, 100);
  const last = volumes.at(-1) as KubeletVolume;
  assert.deepEqual(Object.keys(await textFiles(last.targetPath)).sort(), ["a", "c", "folder/b"]);
  await Promise.all(volumes.map((volume) => volume.unpublish()));
  await assertNothingLeft(sandbox);
});

test("nobody else on the node can look into the data dir; any user of a pod can read its volume", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  await using sandbox = await Sandbox.start();
  const layers = [fileLayer("a", "a\n"), await folderLayer("folder", { b: "b\n" })];
  await push(registry, "team/thing", artifact(layers), "v1");
  const asked = attributes(`${registry.host}/team/thing:v1`);
  const volumes = [true, false].map((readOnly) => sandbox.kubelet.volume({ attributes: asked, readOnly }));
  for (const volume of volumes) await volume.publish();
  for (const folder of [".", "blobs", "layers", "trees", "ingest", "references", "volumes", "names", "tmp"])
    assert.equal((await stat(join(sandbox.dataDir, folder))).mode & 0o777, 0o700, folder);
  for (const path of await filesBelow(join(sandbox.dataDir, "references")))
    assert.equal((await stat(path)).mode & 0o777, 0o600, path);
  // A pod sees its volume, and not the folders above it.
  for (const { targetPath } of volumes) {
    const options = { cwd: targetPath, uid: POD_USER, gid: POD_USER, encoding: "utf8" } as const;
    assert.equal(execFileSync("cat", ["a", "folder/b"], options), "a\nb\n");
  }
  for (const volume of volumes) await volume.unpublish();
});
