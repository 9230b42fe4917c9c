import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { type PublishRequest, Sandbox } from "../driver/index.ts";
import { artifact, EmbeddedRegistry, fileLayer } from "../registry/index.ts";
import { assertNothingLeft, attributes, pushThing, REAL, rejectsWith, textFiles } from "./support.ts";

const thing = artifact([fileLayer("a", "a\n"), fileLayer("b", "b\n")]);

test("requests that are wrong are INVALID_ARGUMENT and say what is", REAL, async () => {
  await using sandbox = await Sandbox.start();
  using client = sandbox.driver.connect();
  const good: PublishRequest = {
    volumeId: "v",
    targetPath: join(sandbox.folder, "target"),
    readonly: true,
    volumeContext: attributes("127.0.0.1:9/team/thing:v1"),
  };
  const withAttributes = (more: Record<string, string>) => ({ volumeContext: { ...good.volumeContext, ...more } });
  const rows: { change: Partial<PublishRequest>; says: RegExp }[] = [
    { change: { volumeId: "" }, says: /volume.?id/i },
    { change: { targetPath: "" }, says: /target.?path/i },
    { change: { targetPath: "relative/path" }, says: /target.?path/i },
    { change: { block: true }, says: /block/ },
    { change: { mountFlags: ["wobbly"] }, says: /wobbly/ },
    { change: { volumeContext: {} }, says: /oras\.artifact\.reference/ },
    { change: withAttributes({ "oras.artifact.reference": "registry.test/Team/thing" }), says: /capitals/ },
    { change: withAttributes({ "oras.artifact.reference": "registry.test/team/thing@sha256:abc" }), says: /digest/ },
    {
      change: withAttributes({ "oras.artifact.refrence": "x" }),
      says: /oras\.artifact\.refrence.*oras\.artifact\.reference/s,
    },
    { change: withAttributes({ "oras.options.insecure": "maybe" }), says: /oras\.options\.insecure/ },
    { change: withAttributes({ "oras.options.concurrency": "65" }), says: /oras\.options\.concurrency.*64/s },
    {
      change: withAttributes({ "oras.options.pullpolicy": "Sometimes" }),
      says: /Always.*IfNotPresent.*Never|IfNotPresent/s,
    },
    {
      change: withAttributes({ "oras.options.pullpolicy": "Never", "oras.options.pullalways": "true" }),
      says: /pullalways/,
    },
    { change: withAttributes({ "oras.artifact.platform": "linux" }), says: /platform/ },
    { change: withAttributes({ "csi.storage.k8s.io/pod.namespace": "../up" }), says: /namespace/ },
  ];
  for (const { change, says } of rows)
    await rejectsWith(client.publish({ ...good, ...change }), "INVALID_ARGUMENT", says);
  const many = withAttributes({ "oras.options.insecure": "maybe", "oras.artifact.platform": "linux" });
  const { message } = await rejectsWith(client.publish({ ...good, ...many }), "INVALID_ARGUMENT", /insecure/);
  assert.match(message, /platform/, "all problems of a request are reported together");
  const worst = { ...good, ...many, volumeId: "", block: true, secrets: { username: "u" }, mountFlags: ["wobbly"] };
  const all = await rejectsWith(client.publish(worst), "INVALID_ARGUMENT", /^cannot publish the volume: /);
  for (const part of [/volume id/, /block/, /insecure/, /platform/, /secret has a username but no password/]) {
    assert.match(all.message, part);
  }
  await rejectsWith(client.unpublish("", good.targetPath), "INVALID_ARGUMENT");
  await rejectsWith(client.unpublish("v", ""), "INVALID_ARGUMENT");
  assert.equal(existsSync(good.targetPath), false);
});

test(
  "a volume that is there already: the same is OK however it is spelt, another is ALREADY_EXISTS",
  REAL,
  async () => {
    await using registry = await EmbeddedRegistry.start();
    const reference = await pushThing(registry, thing);
    await using sandbox = await Sandbox.start();
    using client = sandbox.driver.connect();
    const targetPath = join(sandbox.folder, "target");
    const good: PublishRequest = { volumeId: "v", targetPath, readonly: true, volumeContext: attributes(reference) };
    await client.publish(good);
    const before = sandbox.mounts();
    const same: Record<string, string>[] = [
      attributes(`oras://${reference}`, { "options.plainhttp": "T" }),
      attributes(reference, { "options.concurrency": "2" }),
      { ...attributes(reference), "csi.storage.k8s.io/pod.name": "renamed", "something.else": "x" },
    ];
    for (const volumeContext of same) await client.publish({ ...good, volumeContext });
    const other: Partial<PublishRequest>[] = [
      { volumeContext: attributes(reference, { "artifact.layers.title": "a" }) },
      { volumeContext: attributes(`${registry.host}/team/other:v1`) },
      { readonly: false },
      { volumeId: "w" },
    ];
    for (const change of other) await rejectsWith(client.publish({ ...good, ...change }), "ALREADY_EXISTS");
    assert.deepEqual(sandbox.mounts(), before);
    assert.deepEqual(await textFiles(targetPath), { a: "a\n", b: "b\n" });
    await client.unpublish("v", targetPath);
    await assertNothingLeft(sandbox);
  },
);

test("one volume id at two targets is two volumes", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const reference = await pushThing(registry, thing);
  await using sandbox = await Sandbox.start();
  using client = sandbox.driver.connect();
  const volumeId = "odd/../id [with] spaces";
  const [one, two] = ["one", "two"].map((name) => join(sandbox.folder, name));
  assert.ok(one && two);
  const good = { volumeId, readonly: true, volumeContext: attributes(reference) };
  await client.publish({ ...good, targetPath: one });
  await client.publish({ ...good, targetPath: two });
  await client.unpublish(volumeId, one);
  assert.deepEqual(await textFiles(two), { a: "a\n", b: "b\n" });
  await client.unpublish(volumeId, two);
  await assertNothingLeft(sandbox);
});

test("targets that must not be used are refused, and left as they are", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const reference = await pushThing(registry, thing);
  await using sandbox = await Sandbox.start();
  using client = sandbox.driver.connect();
  const at = (name: string) => join(sandbox.folder, name);
  await mkdir(at("elsewhere"));
  await symlink(at("elsewhere"), at("link"));
  await writeFile(at("file"), "mine");
  await mkdir(at("full"));
  await writeFile(join(at("full"), "inside"), "mine");
  const good = { volumeId: "v", readonly: true, volumeContext: attributes(reference) };
  for (const name of ["link", "file", "full", "missing/target"]) {
    await rejectsWith(
      client.publish({ ...good, targetPath: at(name) }),
      "FAILED_PRECONDITION",
      new RegExp(name.split("/")[0] ?? name),
    );
  }
  assert.equal(await readFile(at("file"), "utf8"), "mine");
  assert.deepEqual([await readdir(at("full")), await readdir(at("elsewhere"))], [["inside"], []]);
  assert.equal(existsSync(at("missing")), false);
  await assertNothingLeft(sandbox);
});

test("an empty folder at the target is used; a new one gets mode 0750", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const reference = await pushThing(registry, thing);
  await using sandbox = await Sandbox.start();
  using client = sandbox.driver.connect();
  const good = { volumeId: "v", readonly: true, volumeContext: attributes(reference) };
  const [empty, fresh] = ["empty", "fresh"].map((name) => join(sandbox.folder, name));
  assert.ok(empty && fresh);
  await mkdir(empty);
  for (const targetPath of [empty, fresh]) {
    await client.publish({ ...good, targetPath });
    assert.deepEqual(await textFiles(targetPath), { a: "a\n", b: "b\n" });
  }
  spawnSync("umount", [fresh]);
  assert.equal((await stat(fresh)).mode & 0o7777, 0o750);
  for (const targetPath of [empty, fresh]) {
    await client.unpublish("v", targetPath);
    assert.equal(existsSync(targetPath), false);
  }
  await assertNothingLeft(sandbox);
});

test("unpublish of what is not known is OK and touches nothing", REAL, async () => {
  await using sandbox = await Sandbox.start();
  using client = sandbox.driver.connect();
  const folder = join(sandbox.folder, "somebody-elses");
  await mkdir(folder);
  await writeFile(join(folder, "file"), "mine");
  await client.unpublish("unknown", folder);
  await client.unpublish("unknown", join(sandbox.folder, "nowhere/at/all"));
  assert.equal(await readFile(join(folder, "file"), "utf8"), "mine");
});

test("a mount that is gone is made anew by the next publish", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const reference = await pushThing(registry, thing);
  await using sandbox = await Sandbox.start();
  const volume = sandbox.kubelet.volume({ attributes: attributes(reference) });
  await volume.publish();
  spawnSync("umount", [volume.targetPath]);
  assert.deepEqual(sandbox.mounts(), []);
  await volume.publish();
  assert.deepEqual(await textFiles(volume.targetPath), { a: "a\n", b: "b\n" });
  spawnSync("umount", [volume.targetPath]);
  await rm(volume.targetPath, { recursive: true });
  await volume.unpublish();
  await assertNothingLeft(sandbox);
});

test("pod info that disagrees with the target path is INVALID_ARGUMENT", REAL, async () => {
  await using sandbox = await Sandbox.start();
  using client = sandbox.driver.connect();
  const volume = sandbox.kubelet.volume({ attributes: attributes("127.0.0.1:9/team/thing:v1") });
  await volume.prepareFolder();
  const request = volume.request();
  const volumeContext = {
    ...request.volumeContext,
    "csi.storage.k8s.io/pod.uid": "11111111-2222-3333-4444-555555555555",
  };
  await rejectsWith(client.publish({ ...request, volumeContext }), "INVALID_ARGUMENT", /uid/);
  assert.deepEqual(await readdir(dirname(volume.targetPath)), ["vol_data.json"]);
});
