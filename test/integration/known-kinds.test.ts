import assert from "node:assert/strict";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { Sandbox, whyNoFlavour } from "../driver/index.ts";
import { artifact, configuredArtifact, EmbeddedRegistry, knownArtifacts, layer, push } from "../registry/index.ts";
import { attributes, filesBelow, REAL, rejectsWith, startRegistry, textFiles } from "./support.ts";

for (const flavour of [undefined, "deno"] as const) {
  const where = flavour === undefined ? "" : ` on ${flavour}`;
  const skip = REAL.skip || whyNoFlavour(flavour);
  test(`each kind of artifact without titles becomes what its own tools make of it${where}`, { skip }, async () => {
    await using registry = await startRegistry();
    await using sandbox = await Sandbox.start({ flavour });
    const kinds = await knownArtifacts();
    for (const [i, { kind, manifest, files, modes = {} }] of kinds.entries()) {
      await push(registry, `kinds/kind-${i}`, manifest, "v1");
      const reference = `${registry.host}/kinds/kind-${i}:v1`;
      const volume = sandbox.kubelet.volume({ attributes: attributes(reference) });
      await volume.publish();
      assert.deepEqual(await textFiles(volume.targetPath), files, kind);
      for (const path of Object.keys(files)) {
        const { mode } = await stat(join(volume.targetPath, path));
        assert.equal(mode & 0o7777, modes[path] ?? 0o644, `${kind}: ${path}`);
      }
      await volume.unpublish();
    }
    // All that it printed has come when it is gone.
    await sandbox.driver.stop();
    const said = sandbox.driver.output.split("\n").filter((line) => /no.* meaning/.test(line));
    for (const [i, { kind, skipped }] of kinds.entries()) {
      const says = said.some((line) => line.includes(`/kinds/kind-${i}:v1`));
      assert.equal(says, skipped !== undefined, `${kind}: what is left out is logged, and nothing else`);
    }
  });
}

test("layers are chosen by the names that their kind gives them", REAL, async () => {
  await using registry = await startRegistry();
  const kinds = await knownArtifacts();
  const pushed = async (kind: string) => {
    const found = kinds.find((one) => one.kind === kind);
    assert.ok(found, kind);
    const tag = kind.replaceAll(" ", "-");
    await push(registry, "kinds/chosen", found.manifest, tag);
    return `${registry.host}/kinds/chosen:${tag}`;
  };
  await using sandbox = await Sandbox.start();
  const rows: { kind: string; filter: Record<string, string>; files: string[] }[] = [
    { kind: "Ollama model", filter: { "artifact.layers.title": "model,license-*" }, files: ["license-2", "model"] },
    { kind: "ModelPack", filter: { "artifact.layers.title": "code" }, files: ["code/lib/a.py", "code/run.py"] },
    {
      kind: "KitOps ModelKit",
      filter: { "artifact.layers.mediatype": "application/vnd.kitops.modelkit.config.v1+json" },
      files: ["Kitfile"],
    },
  ];
  for (const { kind, filter, files } of rows) {
    const volume = sandbox.kubelet.volume({ attributes: attributes(await pushed(kind), filter) });
    await volume.publish();
    const found = (await filesBelow(volume.targetPath)).map((path) => path.slice(volume.targetPath.length + 1));
    assert.deepEqual(found, files, kind);
    await volume.unpublish();
  }
});

test("a file of another mode is a copy: its blob, and whoever links to it, keep theirs", REAL, async () => {
  await using registry = await startRegistry();
  const bytes = Buffer.from("#!/bin/sh");
  const raw = "application/vnd.cncf.model.code.v1.raw";
  const at = (path: string, mode?: number) =>
    layer(bytes, raw, {
      "org.cncf.model.filepath": path,
      ...(mode === undefined ? {} : { "org.cncf.model.file.metadata+json": JSON.stringify({ mode }) }),
    });
  const config = layer(Buffer.from("{}"), "application/vnd.cncf.model.config.v1+json");
  const layers = [at("plain"), at("one", 0o755), at("two", 0o755), at("three", 0o777)];
  await push(registry, "kinds/modes", configuredArtifact(config, layers), "v1");
  await using sandbox = await Sandbox.start();
  const reference = `${registry.host}/kinds/modes:v1`;
  const volume = sandbox.kubelet.volume({ attributes: attributes(reference) });
  await volume.publish();
  const found = await Promise.all(["plain", "one", "two", "three"].map((name) => stat(join(volume.targetPath, name))));
  const blob = await stat(join(sandbox.dataDir, "blobs/sha256", layers[0]?.digest.slice(7) ?? ""));
  assert.deepEqual(
    found.map(({ mode }) => (mode & 0o7777).toString(8)),
    ["644", "755", "755", "777"],
  );
  assert.deepEqual([found[0]?.ino, blob.mode & 0o7777], [blob.ino, 0o644]);
  assert.equal(found[1]?.ino, found[2]?.ino, "one copy for each mode");
  assert.equal(new Set(found.map(({ ino }) => ino)).size, 3);
});

test("what has no names at all is refused, never an empty volume", REAL, async () => {
  await using registry = await startRegistry();
  const nameless = layer(Buffer.from("1"), "application/vnd.cncf.model.weight.v1.raw");
  const config = layer(Buffer.from("{}"), "application/vnd.cncf.model.config.v1+json");
  await using sandbox = await Sandbox.start();
  const cases = { typed: configuredArtifact(config, [nameless]), untyped: artifact([nameless]) };
  for (const [tag, manifest] of Object.entries(cases)) {
    await push(registry, "kinds/nameless", manifest, tag);
    const volume = sandbox.kubelet.volume({ attributes: attributes(`${registry.host}/kinds/nameless:${tag}`) });
    await rejectsWith(volume.publish(), "FAILED_PRECONDITION", /weight\.v1\.raw" \(1 byte\)/);
  }
  assert.deepEqual(sandbox.mounts(), []);
});

test("a chart's config, read for its name, is fetched once a repository and then kept", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const known = (await knownArtifacts()).find(({ kind }) => kind === "Helm chart without annotations");
  assert.ok(known);
  const config = known.manifest.blobs[0]?.digest ?? "";
  await using sandbox = await Sandbox.start();
  const { host } = registry;
  const publish = async (repository: string, more: Record<string, string> = {}) => {
    const volume = sandbox.kubelet.volume({ attributes: attributes(`${host}/kinds/${repository}:v1`, more) });
    await volume.publish();
    assert.deepEqual(await textFiles(volume.targetPath), known.files);
    await volume.unpublish();
  };
  for (const repository of ["one", "other"]) await push(registry, `kinds/${repository}`, known.manifest, "v1");
  registry.log.clear();
  await publish("one");
  await publish("one");
  assert.equal(registry.log.blobGets(config).length, 1);
  // That the cache has it is no proof that this repository does.
  await publish("other");
  assert.equal(registry.log.blobGets(config).length, 2);
  await registry.close();
  await publish("other", { "options.pullpolicy": "Never" });
});
