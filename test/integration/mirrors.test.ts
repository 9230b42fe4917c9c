import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { Sandbox } from "../driver/index.ts";
import { artifact, DockerRegistry, EmbeddedRegistry, fileLayer, folderLayer, push } from "../registry/index.ts";
import { assertBlobsWhole, assertNothingLeft, attributes, REAL, rejectsWith, textFiles } from "./support.ts";

const thing = artifact([
  fileLayer("a", "a\n"),
  fileLayer("b", "b\n".repeat(100_000)),
  await folderLayer("c", { d: "d\n" }),
]);
const files = { a: "a\n", b: "b\n".repeat(100_000), "c/d": "d\n" };
const pullThrough = { skip: DockerRegistry.whyNot() ?? REAL.skip };

/** A sandbox whose driver reads hosts.toml files from `hosts/` below its folder. */
async function useHosts(files_: Readonly<Record<string, string>>, flags: readonly string[] = []) {
  const sandbox = await Sandbox.create();
  const folder = join(sandbox.folder, "hosts");
  const write = async (registry: string, text: string) => {
    const own = join(folder, registry.replace(/:(\d+)$/, "_$1_"));
    await mkdir(own, { recursive: true });
    await writeFile(join(own, "hosts.toml"), text);
  };
  for (const [registry, text] of Object.entries(files_)) await write(registry, text);
  const driver = await sandbox.startDriver([`--registry-hosts-dir=${folder}`, "--log-level=debug", ...flags]);
  /** Publishes, without `plainhttp` unless told so: hosts.toml says how the registry is reached. */
  const publish = async (reference: string, more: Record<string, string> = {}) => {
    const asked = attributes(reference, { "options.plainhttp": "false", ...more });
    const volume = sandbox.kubelet.volume({ attributes: asked });
    await volume.publish();
    return await textFiles(volume.targetPath);
  };
  return Object.assign(sandbox, { write, publish, driver });
}

test(
  "Debian's registry as a pull-through cache in front of another one, which may then be gone",
  pullThrough,
  async () => {
    const origin = await DockerRegistry.start();
    try {
      await push(origin, "team/thing", thing, "v1");
      await using cache = await DockerRegistry.start({ proxyOf: origin.url });
      const hosts = `server = "${origin.url}"\n[host."${cache.url}"]\n`;
      await using sandbox = await useHosts({ [origin.host]: hosts });
      assert.deepEqual(await sandbox.publish(`${origin.host}/team/thing:v1`), files);
      await origin.close();
      await using other = await useHosts({ [origin.host]: hosts });
      assert.deepEqual(await other.publish(`${origin.host}/team/thing:v1`), files);
      await assertBlobsWhole(other);
    } finally {
      await origin.close();
    }
  },
);

test("_default sends every registry through one cache, which is told by ns whom it answers for", REAL, async () => {
  await using cache = await EmbeddedRegistry.start();
  await push(cache, "team/thing", thing, "v1");
  cache.log.clear();
  await using sandbox = await useHosts({ _default: `server = "${cache.url}"` });
  assert.deepEqual(await sandbox.publish("registry.example:5000/team/thing:v1"), files);
  assert.deepEqual(await sandbox.publish("team/thing:v1"), files);
  const queries = new Set(cache.log.entries.map(({ query }) => query));
  assert.deepEqual([...queries].sort(), ["?ns=docker.io", "?ns=registry.example%3A5000"]);
});

test("a mirror that serves wrong bytes is caught, logged, and the registry itself is asked", REAL, async () => {
  await using origin = await EmbeddedRegistry.start();
  await using mirror = await EmbeddedRegistry.start({
    fault: ({ path, method }) => (method === "GET" && /blobs|sha256/.test(path) ? { kind: "corrupt" } : undefined),
  });
  for (const registry of [origin, mirror]) await push(registry, "team/thing", thing, "v1");
  for (const registry of [origin, mirror]) registry.log.clear();
  await using sandbox = await useHosts({ [origin.host]: `server = "${origin.url}"\n[host."${mirror.url}"]` });
  assert.deepEqual(await sandbox.publish(`${origin.host}/team/thing:v1`), files);
  await assertBlobsWhole(sandbox);
  assert.ok(mirror.log.select({ path: /blobs/ }).length >= 2);
  const told = ['"level":"warn"', "did not serve", mirror.host, "another digest"];
  await sandbox.driver.said(new RegExp(told.map((part) => `(?=.*${part})`).join("")));
  // It failed of late: the next pull does not begin with it.
  await push(origin, "team/other", artifact([fileLayer("x", "x\n")]), "v1");
  mirror.log.clear();
  assert.deepEqual(await sandbox.publish(`${origin.host}/team/other:v1`), { x: "x\n" });
  assert.equal(mirror.log.entries.length, 0);
});

test("all hosts serve wrong bytes: DATA_LOSS, and nothing is left", REAL, async () => {
  const fault = ({ path, method }: { path: string; method: string }) =>
    method === "GET" && path.includes("/blobs/") ? ({ kind: "corrupt" } as const) : undefined;
  await using origin = await EmbeddedRegistry.start();
  await using mirror = await EmbeddedRegistry.start();
  for (const registry of [origin, mirror]) {
    await push(registry, "team/thing", thing, "v1");
    registry.fault = fault;
  }
  await using sandbox = await useHosts({ [origin.host]: `server = "${origin.url}"\n[host."${mirror.url}"]` });
  await rejectsWith(
    sandbox.publish(`${origin.host}/team/thing:v1`),
    "DATA_LOSS",
    /other hosts: 127\.0\.0\.1:\d+: .*another digest/,
  );
  await assertNothingLeft(sandbox);
});

test("what a mirror lacks comes from the next host; what nobody has is NOT_FOUND", REAL, async () => {
  await using origin = await EmbeddedRegistry.start();
  await using mirror = await EmbeddedRegistry.start();
  for (const registry of [origin, mirror]) await push(registry, "team/thing", thing, "v1");
  mirror.fault = ({ path }) => (path.includes("/blobs/") ? { kind: "status", status: 404 } : undefined);
  await using sandbox = await useHosts({ [origin.host]: `server = "${origin.url}"\n[host."${mirror.url}"]` });
  assert.deepEqual(await sandbox.publish(`${origin.host}/team/thing:v1`), files);
  await rejectsWith(sandbox.publish(`${origin.host}/team/thing:v2`), "NOT_FOUND", /team\/thing:v2/);
});

test("a mirror that appears while the driver runs is used at once, one that is removed no more", REAL, async () => {
  await using origin = await EmbeddedRegistry.start();
  await using mirror = await EmbeddedRegistry.start();
  const things = ["one", "two", "three"].map((text) => artifact([fileLayer("x", text)]));
  for (const [i, one] of things.entries())
    for (const registry of [origin, mirror]) await push(registry, "team/thing", one, `v${i}`);
  await using sandbox = await useHosts({ [origin.host]: `server = "${origin.url}"` });
  const askedAtMirror = async (tag: string) => {
    mirror.log.clear();
    await sandbox.publish(`${origin.host}/team/thing:${tag}`);
    return mirror.log.entries.length > 0;
  };
  assert.equal(await askedAtMirror("v0"), false);
  await sandbox.write(origin.host, `server = "${origin.url}"\n[host."${mirror.url}"]`);
  assert.equal(await askedAtMirror("v1"), true);
  await sandbox.write(origin.host, `server = "${origin.url}"`);
  assert.equal(await askedAtMirror("v2"), false);
});

test("a mirror speaks for its registry: what it served counts for it", REAL, async () => {
  await using origin = await EmbeddedRegistry.start();
  await using mirror = await EmbeddedRegistry.start();
  for (const registry of [origin, mirror]) await push(registry, "team/thing", thing, "v1");
  await using sandbox = await useHosts({ [origin.host]: `server = "${origin.url}"\n[host."${mirror.url}"]` });
  const reference = `${origin.host}/team/thing:v1`;
  await sandbox.publish(reference);
  await mirror.close();
  await origin.close();
  assert.deepEqual(await sandbox.publish(reference), files);
  assert.deepEqual(await sandbox.publish(reference, { "options.pullpolicy": "Never" }), files);
  // Over another transport nothing of it counts.
  await rejectsWith(
    sandbox.publish(reference, { "options.pullpolicy": "Never", "options.plainhttp": "true" }),
    "NOT_FOUND",
    /pullpolicy is Never/,
  );
});
