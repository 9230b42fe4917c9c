import assert from "node:assert/strict";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { Sandbox } from "../driver/index.ts";
import {
  artifact,
  type BuiltManifest,
  EmbeddedRegistry,
  fileLayer,
  folderLayer,
  image,
  index,
  layer,
  rawManifest,
  sha256Of,
  TITLE,
  tarOfFolder,
} from "../registry/index.ts";
import { attributes, pushThing, REAL, rejectsWith, startRegistry, textFiles } from "./support.ts";

test("layers are chosen by media type and by title", REAL, async () => {
  await using registry = await startRegistry();
  const layers = [
    fileLayer("model.bin", "m", "application/vnd.test.model"),
    fileLayer("docs/a.md", "a", "text/markdown"),
    fileLayer("docs/deep/b.md", "b", "text/markdown"),
    await folderLayer("conf", { "x.md": "x" }),
  ];
  const reference = await pushThing(registry, artifact(layers));
  await using sandbox = await Sandbox.start();
  const rows: { filter: Record<string, string>; files: string[] }[] = [
    { filter: {}, files: ["conf/x.md", "docs/a.md", "docs/deep/b.md", "model.bin"] },
    { filter: { "layers.mediatype": "application/vnd.test.model" }, files: ["model.bin"] },
    {
      filter: { "layers.mediatype": "text/markdown , application/vnd.test.model" },
      files: ["docs/a.md", "docs/deep/b.md", "model.bin"],
    },
    { filter: { "layers.title": "docs/*" }, files: ["docs/a.md"] },
    { filter: { "layers.title": "docs/**" }, files: ["docs/a.md", "docs/deep/b.md"] },
    { filter: { "layers.title": "model.*,conf" }, files: ["conf/x.md", "model.bin"] },
    { filter: { "layers.title": "docs/**", "layers.mediatype": "application/vnd.test.model" }, files: [] },
    { filter: { "layers.mediatype": "text/*" }, files: [] },
  ];
  for (const { filter, files } of rows) {
    const prefixed = Object.fromEntries(Object.entries(filter).map(([name, value]) => [`artifact.${name}`, value]));
    const volume = sandbox.kubelet.volume({ attributes: attributes(reference, prefixed) });
    await volume.publish();
    assert.deepEqual(Object.keys(await textFiles(volume.targetPath)).sort(), files, JSON.stringify(filter));
    await volume.unpublish();
  }
  // A filter that leaves nothing is warned of.
  await sandbox.driver.said(/"level":"?(warn|40)/);
});

test("a filter fetches only the layers that it leaves", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const [wanted, other] = [fileLayer("a.txt", "a"), fileLayer("b.bin", "b")];
  const reference = await pushThing(registry, artifact([wanted, other]));
  await using sandbox = await Sandbox.start();
  const filter = { "artifact.layers.title": "*.txt" };
  await sandbox.kubelet.volume({ attributes: attributes(reference, filter) }).publish();
  assert.deepEqual([registry.log.blobGets(wanted.digest).length, registry.log.blobGets(other.digest).length], [1, 0]);
});

test("folders come out as oras pull makes them", REAL, async () => {
  await using registry = await startRegistry();
  const layers = [
    await folderLayer("bin", {
      "run.sh": { content: "#!/bin/sh\n", mode: 0o755 },
      secret: { content: "s", mode: 0o600 },
    }),
    await folderLayer(".", { "at/the/root": "r" }),
    // Without the annotation it is a file like any other, whatever its media type says.
    layer(gzipSync(await tarOfFolder("kept", { x: "x" })), "application/vnd.oci.image.layer.v1.tar+gzip", {
      [TITLE]: "kept.tar.gz",
    }),
    fileLayer("model.bin", "m"),
  ];
  const reference = await pushThing(registry, artifact(layers));
  await using sandbox = await Sandbox.start();
  const volume = sandbox.kubelet.volume({ attributes: attributes(reference) });
  await volume.publish();
  const at = (path: string) => join(volume.targetPath, path);
  const mode = async (path: string) => ((await stat(at(path))).mode & 0o7777).toString(8);
  assert.equal(await readFile(at("at/the/root"), "utf8"), "r");
  assert.deepEqual(await readFile(at("kept.tar.gz")), layers[2]?.bytes);
  assert.deepEqual(
    [await mode("bin/run.sh"), await mode("bin/secret"), await mode("model.bin")],
    ["755", "644", "644"],
  );
  assert.deepEqual([await mode("bin"), (await stat(at("bin"))).uid], ["755", 0]);
});

test("an index chooses the platform: the node's, or the one that is asked for", REAL, async () => {
  await using registry = await startRegistry();
  const [amd64, arm64] = ["amd64", "arm64"].map((name) => artifact([fileLayer("arch", name)]));
  assert.ok(amd64 && arm64);
  const both = index([
    { manifest: artifact([fileLayer("arch", "attestation")]), platform: { os: "unknown", architecture: "unknown" } },
    { manifest: arm64, platform: { os: "linux", architecture: "arm64", variant: "v8" } },
    { manifest: amd64, platform: { os: "linux", architecture: "amd64" } },
  ]);
  const reference = await pushThing(registry, both);
  await using sandbox = await Sandbox.start();
  const own = process.arch === "arm64" ? "arm64" : "amd64";
  const rows: [Record<string, string>, string][] = [
    [{}, own],
    [{ "artifact.platform": "linux/arm64" }, "arm64"],
    [{ "artifact.platform": "linux/amd64" }, "amd64"],
  ];
  for (const [more, arch] of rows) {
    const volume = sandbox.kubelet.volume({ attributes: attributes(reference, more) });
    await volume.publish();
    assert.deepEqual(await textFiles(volume.targetPath), { arch });
    await volume.unpublish();
  }
  const missing = attributes(reference, { "artifact.platform": "linux/riscv64" });
  const none = sandbox.kubelet.volume({ attributes: missing });
  const { message } = await rejectsWith(none.publish(), "NOT_FOUND", /linux\/riscv64/);
  assert.match(message, /linux\/amd64/, "what there is, is listed");
});

test("an index of one manifest needs no platform, be it in an index itself", REAL, async () => {
  await using registry = await startRegistry();
  const indexType = "application/vnd.oci.image.index.v1+json";
  const indexOf = ({ mediaType, digest, bytes }: BuiltManifest) => {
    const manifests = [{ mediaType, digest, size: bytes.length }];
    return rawManifest({ schemaVersion: 2, mediaType: indexType, manifests }, [], indexType);
  };
  const thing = artifact([fileLayer("a", "a")]);
  const around = indexOf(thing);
  await pushThing(registry, thing, "inner");
  const references = [await pushThing(registry, around, "one"), await pushThing(registry, indexOf(around), "nested")];
  await using sandbox = await Sandbox.start();
  for (const reference of references) {
    const asked = attributes(reference, { "artifact.platform": "linux/riscv64" });
    const volume = sandbox.kubelet.volume({ attributes: asked });
    await volume.publish();
    assert.deepEqual(await textFiles(volume.targetPath), { a: "a" });
  }
});

test("layers of an image cannot be chosen", REAL, async () => {
  await using registry = await startRegistry();
  const tar = await tarOfFolder("etc", { motd: "hello" });
  const reference = await pushThing(registry, image([{ packed: gzipSync(tar), diffId: sha256Of(tar) }]));
  await using sandbox = await Sandbox.start();
  const chosen = attributes(reference, { "artifact.layers.title": "etc" });
  await rejectsWith(sandbox.kubelet.volume({ attributes: chosen }).publish(), "INVALID_ARGUMENT", /layers of an image/);
  assert.deepEqual(sandbox.mounts(), []);
});

test("an artifact without layers is an empty volume", REAL, async () => {
  await using registry = await startRegistry();
  const reference = await pushThing(registry, artifact([]));
  await using sandbox = await Sandbox.start();
  const volume = sandbox.kubelet.volume({ attributes: attributes(reference) });
  await volume.publish();
  assert.deepEqual(await textFiles(volume.targetPath), {});
});
