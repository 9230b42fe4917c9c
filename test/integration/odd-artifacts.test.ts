import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { type Flavour, Sandbox, whyNoFlavour, whyNoMounts } from "../driver/index.ts";
import { paxEntry, TAR_END, type TarFields, tarEntry, tarOf } from "../fixtures/tar-builder.ts";
import { listTree } from "../fixtures/unpacking.ts";
import {
  artifact,
  type BuiltLayer,
  type BuiltManifest,
  EmbeddedRegistry,
  fileLayer,
  layer,
  rawManifest,
  sha256Of,
  TITLE,
} from "../registry/index.ts";
import { attributes, REAL, rejectsWith } from "./support.ts";

const OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
const TAR = "application/vnd.oci.image.layer.v1.tar";
const config = layer(Buffer.from("{}"), OCI_CONFIG);

/** A manifest of these layers, whose descriptors have more than they need. */
function manifestOf(layers: readonly BuiltLayer[], more: Record<string, unknown> = {}, own = config): BuiltManifest {
  const describeBlob = ({ mediaType, digest, bytes }: BuiltLayer) => ({ mediaType, digest, size: bytes.length });
  const document = {
    schemaVersion: 2,
    config: describeBlob(own),
    layers: layers.map((one) => ({ ...describeBlob(one), annotations: one.annotations, ...more })),
  };
  return rawManifest(document, [own, ...layers]);
}

function bySha512(one: BuiltLayer): BuiltLayer {
  return { ...one, digest: `sha512:${hash("sha512", one.bytes)}` };
}

const imageLayer = (bytes: Buffer) => layer(bytes, TAR);
const unpacked = (bytes: Buffer, title: string) =>
  layer(bytes, TAR, { [TITLE]: title, "io.deis.oras.content.unpack": "true" });

async function publish(sandbox: Sandbox, registry: EmbeddedRegistry, manifest: BuiltManifest, tag: string) {
  for (const { digest, bytes } of manifest.blobs) registry.content.putBlob("team/thing", digest, bytes);
  registry.content.putManifest("team/thing", tag, manifest);
  const volume = sandbox.kubelet.volume({ attributes: attributes(`${registry.host}/team/thing:${tag}`) });
  await volume.publish();
  return volume.targetPath;
}

test("digests of sha512, as file, folder and image", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  await using sandbox = await Sandbox.start();
  const tar = gzipSync(tarOf({ name: "d/f", data: "unpacked" }));
  const files = manifestOf([fileLayer("a", "file"), unpacked(tar, "d")].map(bySha512), {}, bySha512(config));
  const target = await publish(sandbox, registry, files, "files");
  assert.deepEqual(
    [readFileSync(join(target, "a"), "utf8"), readFileSync(join(target, "d/f"), "utf8")],
    ["file", "unpacked"],
  );
  const image = await publish(sandbox, registry, manifestOf([bySha512(imageLayer(tar))]), "image");
  assert.equal(readFileSync(join(image, "d/f"), "utf8"), "unpacked");
  assert.equal(readdirSync(join(sandbox.dataDir, "layers/sha512")).filter((name) => name.endsWith(".index")).length, 2);
});

test("layers without a byte, and without an entry", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  await using sandbox = await Sandbox.start();
  const files = await publish(sandbox, registry, manifestOf([fileLayer("empty", ""), fileLayer("a", "x")]), "files");
  assert.equal(statSync(join(files, "empty")).size, 0);
  const layers = [Buffer.alloc(0), tarOf({ name: "f", data: "x" }), gzipSync(Buffer.alloc(0)), gzipSync(TAR_END)];
  const image = await publish(sandbox, registry, manifestOf(layers.map(imageLayer)), "image");
  assert.deepEqual(readdirSync(image), ["f"]);
  assert.deepEqual(readdirSync(await publish(sandbox, registry, manifestOf([]), "nothing")), []);
});

test("one digest fifty times, in an image and in an artifact, is fetched once", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  await using sandbox = await Sandbox.start();
  const one = imageLayer(gzipSync(tarOf({ name: "f", data: "x" })));
  const image = await publish(sandbox, registry, manifestOf(Array<BuiltLayer>(50).fill(one)), "image");
  assert.deepEqual(readdirSync(image), ["f"]);
  assert.equal(registry.log.blobGets(one.digest).length, 1);
  const titled = Array.from({ length: 50 }, (_, i) => fileLayer(`f-${i}`, "the same"));
  assert.equal(readdirSync(await publish(sandbox, registry, artifact(titled), "artifact")).length, 50);
  assert.equal(registry.log.blobGets(titled[0]?.digest ?? "").length, 1);
});

test("ten thousand layers", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  await using sandbox = await Sandbox.start();
  const layers = Array.from({ length: 10_000 }, (_, i) =>
    fileLayer(`folder-${i % 100}/file-${i}`, `content ${i % 50}`),
  );
  const target = await publish(sandbox, registry, artifact(layers), "many");
  assert.equal(readdirSync(target).length, 100);
  assert.equal(readFileSync(join(target, "folder-7/file-9907"), "utf8"), "content 7");
});

test("content within descriptors, right or wrong, changes nothing", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  await using sandbox = await Sandbox.start();
  for (const [tag, data] of Object.entries({ right: "content", wrong: "another" })) {
    const manifest = manifestOf([fileLayer("f", "content")], { data: Buffer.from(data).toString("base64") });
    const target = await publish(sandbox, registry, manifest, tag);
    assert.equal(readFileSync(join(target, "f"), "utf8"), "content");
  }
});

test(
  "layers with urls: what the registry holds is served, what it does not is fetched from nowhere",
  REAL,
  async () => {
    await using registry = await EmbeddedRegistry.start();
    await using elsewhere = await EmbeddedRegistry.start();
    await using sandbox = await Sandbox.start();
    const tar = gzipSync(tarOf({ name: "f", data: "content" }));
    const urls = { urls: [`${elsewhere.url}/blob`] };
    const foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    for (const [kind, one] of Object.entries({ file: fileLayer("f", "content"), image: imageLayer(tar) })) {
      const manifest = manifestOf([one], urls);
      assert.equal(readFileSync(join(await publish(sandbox, registry, manifest, kind), "f"), "utf8"), "content");
      const others = [
        manifestOf([{ ...one, digest: sha256Of(Buffer.from(kind)) }], urls),
        manifestOf([{ ...one, mediaType: foreign }], urls),
      ];
      for (const [i, { blobs: _, ...lacking }] of others.entries()) {
        registry.log.clear();
        const blobs = [config];
        const says =
          /team\/thing:\S+: layer "(f|sha256:\w+)" is not in the registry but at other addresses, which are not/;
        await rejectsWith(
          publish(sandbox, registry, { ...lacking, blobs }, `${kind}-${i}`),
          "FAILED_PRECONDITION",
          says,
        );
        assert.equal(registry.log.blobGets().length, i === 0 ? 1 : 0, kind);
      }
    }
    assert.deepEqual(elsewhere.log.entries, []);
  },
);

test("a sparse file of 20 GB, whose holes count for no limit", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  await using sandbox = await Sandbox.start();
  const size = 20 * 1024 ** 3;
  const map = `2\n${size - 1000}\n3\n${size}\n0\n`.padEnd(512, "\0");
  const records = {
    "GNU.sparse.major": "1",
    "GNU.sparse.minor": "0",
    "GNU.sparse.name": "big",
    "GNU.sparse.realsize": `${size}`,
  };
  const tar = tarOf(paxEntry(records), tarEntry({ name: "GNUSparseFile.0/big", data: `${map}end` }));
  for (const [tag, manifest] of Object.entries({
    folder: manifestOf([unpacked(tar, ".")]),
    image: manifestOf([imageLayer(tar)]),
  })) {
    const found = lstatSync(join(await publish(sandbox, registry, manifest, tag), "big"));
    assert.equal(found.size, size, tag);
    assert.ok(found.blocks * 512 < 1024 ** 2, `${tag}: ${found.blocks} blocks`);
  }
});

const entries: readonly TarFields[] = [
  { name: "d", type: "5", mode: 0o750, uid: 1, mtime: 1000 },
  { name: "d/f", data: "x".repeat(300_000), mode: 0o640, gid: 2, mtime: 2000 },
  { name: "d/l", type: "2", linkName: "f", mtime: 3000 },
  { name: "d/g", data: "y".repeat(300_000), mtime: 4000 },
];
const sizes = [
  ["d", 0],
  ["d/f", 300_000],
  ["d/g", 300_000],
  ["d/l", 1],
];
const whole = tarOf(...entries);
const skippable = (length: number) => {
  const frame = Buffer.alloc(8 + length, "s");
  frame.writeUInt32LE(0x184d2a5f, 0);
  frame.writeUInt32LE(length, 4);
  return frame;
};
const frames = (bytes: Buffer, count: number) =>
  Array.from({ length: count }, (_, i) => {
    const [from, to] = [i, i + 1].map((part) => Math.floor((bytes.length * part) / count));
    return zstdCompressSync(bytes.subarray(from, to));
  });
const cut = zstdCompressSync(whole.subarray(0, -TAR_END.length));

/** What is packed in an unusual way, and whether it is whole. */
const packings: Record<string, { readonly bytes: Buffer; readonly isWhole: boolean }> = {
  "zstd in many frames": { bytes: Buffer.concat(frames(whole, 40)), isWhole: true },
  "zstd with skippable frames": {
    bytes: Buffer.concat([skippable(70_000), ...frames(whole, 3).flatMap((frame) => [frame, skippable(5)])]),
    isWhole: true,
  },
  "zstd with garbage behind it": { bytes: Buffer.concat([...frames(whole, 2), Buffer.from("garbage")]), isWhole: true },
  "gzip in many members": {
    bytes: Buffer.concat([whole.subarray(0, 1000), whole.subarray(1000)].map((part) => gzipSync(part))),
    isWhole: true,
  },
  "zstd whose last frame is cut off": { bytes: Buffer.concat(frames(whole, 3)).subarray(0, -20), isWhole: false },
  "zstd of which frames are missing": { bytes: Buffer.concat(frames(whole, 3).slice(0, 2)), isWhole: false },
  "zstd that is cut off behind the last entry": { bytes: cut.subarray(0, -3), isWhole: false },
  "zstd with a damaged byte": { bytes: damaged(zstdCompressSync(whole)), isWhole: false },
};

function damaged(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt8((copy[10] ?? 0) ^ 0xff, 10);
  return copy;
}

for (const flavour of ["node", "deno"] as const satisfies readonly Flavour[]) {
  describe(`tars packed in all ways, on ${flavour}`, { skip: whyNoMounts() || whyNoFlavour(flavour) }, () => {
    test("become the same tree, or are refused", async () => {
      await using registry = await EmbeddedRegistry.start();
      await using sandbox = await Sandbox.start({ flavour });
      for (const [i, [name, { bytes, isWhole }]] of Object.entries(packings).entries()) {
        for (const [kind, one] of Object.entries({ folder: unpacked(bytes, "d"), image: imageLayer(bytes) })) {
          const publishing = publish(sandbox, registry, manifestOf([one]), `${kind}-${i}`);
          if (!isWhole) await rejectsWith(publishing, "FAILED_PRECONDITION", /cut off|damaged|end marker/);
          else
            assert.deepEqual(
              listTree(await publishing).map(({ path, content }) => [path, content.length]),
              sizes,
              name,
            );
        }
      }
    });
  });
}
