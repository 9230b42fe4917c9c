import assert from "node:assert/strict";
import { test } from "node:test";
import { Sandbox } from "../driver/index.ts";
import { artifact, EmbeddedRegistry, fileLayer, index } from "../registry/index.ts";
import { attributes, pushThing, REAL, rejectsWith, textFiles } from "./support.ts";

const PATIENCE = { timeoutMs: 6_000 };
const common = fileLayer("common", "c");
const oldThing = artifact([common, fileLayer("version", "old")]);
const newThing = artifact([common, fileLayer("version", "new")]);

function policy(reference: string, name: string): Record<string, string> {
  return attributes(reference, { "options.pullpolicy": name });
}

test("IfNotPresent keeps what the tag was; Always sees what it is now and fetches only what is new", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const reference = await pushThing(registry, oldThing);
  await using sandbox = await Sandbox.start();
  const old = sandbox.kubelet.volume({ attributes: attributes(reference) });
  await old.publish();
  await pushThing(registry, newThing);

  registry.log.clear();
  const again = sandbox.kubelet.volume({ attributes: policy(reference, "ifnotpresent") });
  await again.publish();
  assert.equal((await textFiles(again.targetPath)).version, "old");
  assert.deepEqual(registry.log.entries, []);

  const now = sandbox.kubelet.volume({ attributes: policy(reference, "always") });
  await now.publish();
  assert.equal((await textFiles(now.targetPath)).version, "new");
  assert.equal(registry.log.blobGets().length, 1);
  assert.equal((await textFiles(old.targetPath)).version, "old", "what is published does not change");

  const afterwards = sandbox.kubelet.volume({ attributes: attributes(reference) });
  await afterwards.publish();
  assert.equal((await textFiles(afterwards.targetPath)).version, "new");
});

test("Always on a tag that is what it was costs one HEAD, and no blob", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const architecture = process.arch === "arm64" ? "arm64" : "amd64";
  const ofIndex = index([{ manifest: oldThing, platform: { os: "linux", architecture } }]);
  const references = [await pushThing(registry, oldThing), await pushThing(registry, ofIndex, "index")];
  await using sandbox = await Sandbox.start();
  for (const reference of references) {
    const asked = policy(reference, "Always");
    await sandbox.kubelet.volume({ attributes: asked }).publish();
    registry.log.clear();
    const again = sandbox.kubelet.volume({ attributes: asked });
    await again.publish();
    assert.equal((await textFiles(again.targetPath)).version, "old");
    assert.deepEqual(
      registry.log.entries.map(({ method, path }) => `${method} ${path}`),
      [`HEAD /v2/team/thing/manifests/${reference.split(":").at(-1)}`],
    );
  }
});

test(
  "Always without a registry is UNAVAILABLE, cached or not; IfNotPresent and Never serve the cache",
  REAL,
  async () => {
    await using registry = await EmbeddedRegistry.start();
    const reference = await pushThing(registry, oldThing);
    await using sandbox = await Sandbox.start();
    await sandbox.kubelet.volume({ attributes: attributes(reference) }).publish();
    await registry.close();
    for (const name of ["IfNotPresent", "Never"]) {
      const volume = sandbox.kubelet.volume({ attributes: policy(reference, name) });
      await volume.publish();
      assert.equal((await textFiles(volume.targetPath)).version, "old");
    }
    const always = sandbox.kubelet.volume({ attributes: policy(reference, "Always") });
    await rejectsWith(always.publish(PATIENCE), "UNAVAILABLE");
    const goForm = attributes(reference, { "options.pullalways": "true" });
    await rejectsWith(sandbox.kubelet.volume({ attributes: goForm }).publish(PATIENCE), "UNAVAILABLE");
  },
);

test("Never finds nothing in an empty cache, and does not ask", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const reference = await pushThing(registry, oldThing);
  await using sandbox = await Sandbox.start();
  registry.log.clear();
  const volume = sandbox.kubelet.volume({ attributes: policy(reference, "Never") });
  await rejectsWith(volume.publish(), "NOT_FOUND", /Never/);
  assert.deepEqual(registry.log.entries, []);
});

test("a wider selection of a cached artifact fetches what is missing by digest", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const reference = await pushThing(registry, oldThing);
  await using sandbox = await Sandbox.start();
  const narrow = attributes(reference, { "artifact.layers.title": "common" });
  await sandbox.kubelet.volume({ attributes: narrow }).publish();
  registry.log.clear();
  const wide = sandbox.kubelet.volume({ attributes: attributes(reference) });
  await wide.publish();
  assert.deepEqual(await textFiles(wide.targetPath), { common: "c", version: "old" });
  assert.equal(registry.log.blobGets().length, 1);
});

test("an artifact that the registry never saw is NOT_FOUND: repository, tag, digest", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  await pushThing(registry, oldThing);
  await using sandbox = await Sandbox.start();
  for (const name of ["team/nothing:v1", "team/thing:v9", `team/thing@sha256:${"0".repeat(64)}`]) {
    const volume = sandbox.kubelet.volume({ attributes: attributes(`${registry.host}/${name}`) });
    await rejectsWith(volume.publish(), "NOT_FOUND", /team\/(no)?thing/);
  }
  assert.deepEqual(sandbox.mounts(), []);
});
