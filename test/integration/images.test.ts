import assert from "node:assert/strict";
import { lstatSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { Sandbox, whyNoFlavour } from "../driver/index.ts";
import { type TarFields, tarOf } from "../fixtures/tar-builder.ts";
import { listTree } from "../fixtures/unpacking.ts";
import { type BuiltManifest, configuredArtifact, EmbeddedRegistry, layer } from "../registry/index.ts";
import { attributes, pushThing, REAL, rejectsWith, startRegistry } from "./support.ts";

const OCI = { config: "application/vnd.oci.image.config.v1+json", layer: "application/vnd.oci.image.layer.v1.tar" };
const DOCKER = {
  config: "application/vnd.docker.container.image.v1+json",
  layer: "application/vnd.docker.image.rootfs.diff.tar",
};

const base: readonly TarFields[] = [
  { name: "bin/", type: "5", mode: 0o755, uid: 1, gid: 2, mtime: 1000 },
  { name: "bin/tool", data: "tool", mode: 0o4755, uid: 3, gid: 4, mtime: 2000 },
  { name: "bin/link", type: "2", linkName: "/bin/tool" },
  { name: "etc/old", data: "old" },
];
const upper: readonly TarFields[] = [
  { name: "bin/other", type: "1", linkName: "bin/tool" },
  { name: "etc/.wh.old" },
  { name: "etc/new", data: "new", mode: 0o600, uid: 65_534, gid: 65_534 },
];
const made = ["bin", "bin/link /bin/tool", "bin/other tool", "bin/tool tool", "etc", "etc/new new"];

type Pack = (tar: Buffer) => Buffer;

function imageOf(layers: readonly (readonly [readonly TarFields[], Pack])[], types = OCI): BuiltManifest {
  const config = layer(Buffer.from(JSON.stringify({ architecture: "amd64", os: "linux" })), types.config);
  return configuredArtifact(
    config,
    layers.map(([entries, pack]) => layer(pack(tarOf(...entries)), types.layer)),
  );
}

const plain: Pack = (tar) => tar;
/** Two frames, with a skippable one before, between and after them. */
const zstd: Pack = (tar) => {
  const skippable = Buffer.from([0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
  const halves = [tar.subarray(0, 1000), tar.subarray(1000)].flatMap((half) => [skippable, zstdCompressSync(half)]);
  return Buffer.concat([...halves, skippable]);
};
const read = (root: string) =>
  listTree(root).map(({ path, content }) => (content === "" ? path : `${path} ${content}`));

for (const flavour of [undefined, "deno"] as const) {
  const where = flavour === undefined ? "" : ` on ${flavour}`;
  const skip = REAL.skip || whyNoFlavour(flavour);
  test(`images of each kind, packed in any way, become their layers put on each other${where}`, { skip }, () =>
    becomeTheirLayers(flavour),
  );
}

async function becomeTheirLayers(flavour: "deno" | undefined): Promise<void> {
  await using registry = await startRegistry();
  await using sandbox = await Sandbox.start({ flavour });
  const packs = {
    gzip: [gzipSync, gzipSync],
    zstd: [zstd, zstd],
    plain: [plain, plain],
    mixed: [zstd, gzipSync],
  } as const;
  for (const [kind, types] of Object.entries({ oci: OCI, docker: DOCKER })) {
    for (const [name, [first, second]] of Object.entries(packs)) {
      const manifest = imageOf(
        [
          [base, first],
          [upper, second],
        ],
        types,
      );
      const reference = await pushThing(registry, manifest, `${kind}-${name}`);
      const volume = sandbox.kubelet.volume({ attributes: attributes(reference) });
      await volume.publish();
      assert.deepEqual(read(volume.targetPath), made, `${kind} ${name}`);
      const at = (path: string) => lstatSync(join(volume.targetPath, path));
      const { mode, uid, gid, mtimeMs, ino, nlink } = at("bin/tool");
      assert.deepEqual([mode & 0o7777, uid, gid, mtimeMs], [0o755, 3, 4, 2_000_000]);
      assert.equal(at("bin/other").ino, ino);
      assert.ok(nlink >= 2);
      assert.deepEqual([at("etc/new").mode & 0o7777, at("etc/new").uid], [0o600, 65_534]);
      await volume.unpublish();
    }
  }
}

test("two images share a layer: it is fetched and kept once, and on Docker's side, too", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  await using sandbox = await Sandbox.start();
  const other: readonly TarFields[] = [{ name: "bin/.wh.tool" }, { name: "x", data: "x" }];
  const one = imageOf([
    [base, gzipSync],
    [upper, gzipSync],
  ]);
  const two = imageOf(
    [
      [base, gzipSync],
      [other, gzipSync],
      [upper.slice(1), gzipSync],
    ],
    DOCKER,
  );
  const published = [];
  for (const [tag, manifest] of Object.entries({ one, two })) {
    const volume = sandbox.kubelet.volume({ attributes: attributes(await pushThing(registry, manifest, tag)) });
    await volume.publish();
    published.push(volume.targetPath);
  }
  assert.deepEqual(read(published[0] ?? ""), made);
  assert.deepEqual(read(published[1] ?? ""), ["bin", "bin/link /bin/tool", "etc", "etc/new new", "x x"]);
  assert.equal(registry.log.blobGets(one.blobs.at(-2)?.digest ?? "").length, 1);
  const inode = (root: string | undefined) => lstatSync(join(root ?? "", "bin/link")).ino;
  assert.equal(inode(published[0]), inode(published[1]));
  const kept = readdirSync(join(sandbox.dataDir, "layers/sha256")).filter((name) => name.endsWith(".image"));
  assert.equal(kept.length, 4);
});

test("a layer is an artifact's folder in one volume and an image's layer in another", REAL, async () => {
  await using registry = await startRegistry();
  await using sandbox = await Sandbox.start();
  const tar = gzipSync(tarOf({ name: "d/f", data: "f", mode: 0o600, uid: 7 }, { name: "d/.wh.x" }));
  const config = layer(Buffer.from("{}"), OCI.config);
  const titled = layer(tar, OCI.layer, {
    "org.opencontainers.image.title": "d",
    "io.deis.oras.content.unpack": "true",
  });
  const cases = {
    artifact: { manifest: configuredArtifact(config, [titled]), files: ["d", "d/.wh.x", "d/f f"], owner: [0o644, 0] },
    image: { manifest: configuredArtifact(config, [layer(tar, OCI.layer)]), files: ["d", "d/f f"], owner: [0o600, 7] },
  };
  for (const [tag, { manifest, files, owner }] of Object.entries(cases)) {
    const volume = sandbox.kubelet.volume({ attributes: attributes(await pushThing(registry, manifest, tag)) });
    await volume.publish();
    assert.deepEqual(read(volume.targetPath), files, tag);
    const { mode, uid } = lstatSync(join(volume.targetPath, "d/f"));
    assert.deepEqual([mode & 0o7777, uid], owner, tag);
  }
});

test("what an image cannot be is said, and nothing is left of it", REAL, async () => {
  await using registry = await startRegistry();
  await using sandbox = await Sandbox.start();
  const reference = await pushThing(registry, imageOf([[base, gzipSync]]), "filtered");
  for (const filter of [{ "artifact.layers.title": "bin/*" }, { "artifact.layers.mediatype": OCI.layer }]) {
    const volume = sandbox.kubelet.volume({ attributes: attributes(reference, filter) });
    await rejectsWith(volume.publish(), "INVALID_ARGUMENT", /image.*oras\.artifact\.layers/);
  }
  const refused: Record<string, { manifest: BuiltManifest; says: RegExp }> = {
    "link-to-nowhere": {
      manifest: imageOf([
        [base, gzipSync],
        [[{ name: "l", type: "1", linkName: "no/where" }], gzipSync],
      ]),
      says: /entry "l": its target "no\/where"/,
    },
    "no-tar": { manifest: imageOf([[base, () => Buffer.from("<html>".repeat(200))]]), says: /sha256:.*no tar at all/ },
    "leads-out": { manifest: imageOf([[[{ name: "../x", data: "x" }], gzipSync]]), says: /leads out/ },
  };
  for (const [tag, { manifest, says }] of Object.entries(refused)) {
    const volume = sandbox.kubelet.volume({ attributes: attributes(await pushThing(registry, manifest, tag)) });
    await rejectsWith(volume.publish(), "FAILED_PRECONDITION", says);
  }
  assert.deepEqual(sandbox.mounts(), []);
  assert.deepEqual(readdirSync(join(sandbox.dataDir, "trees")), []);
});

test("a layer in the cache that is not whole any more is fetched anew", REAL, async () => {
  await using registry = await startRegistry();
  await using sandbox = await Sandbox.start();
  const first = await pushThing(registry, imageOf([[base, gzipSync]]), "first");
  await sandbox.kubelet.volume({ attributes: attributes(first) }).publish();
  const layers = join(sandbox.dataDir, "layers/sha256");
  const folder = readdirSync(layers).find((name) => name.endsWith(".image")) ?? "";
  rmSync(join(layers, folder, "bin/tool"));
  const second = await pushThing(
    registry,
    imageOf([
      [base, gzipSync],
      [upper, gzipSync],
    ]),
    "second",
  );
  const volume = sandbox.kubelet.volume({ attributes: attributes(second) });
  await volume.publish();
  assert.deepEqual(read(volume.targetPath), made);
  await sandbox.driver.said(/was not whole any more/);
});
