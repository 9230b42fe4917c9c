import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { Sandbox } from "../driver/index.ts";
import { helperAnswer, Programs, providerAnswer } from "../helpers/programs.ts";
import { artifact, EmbeddedRegistry, fileLayer, push, type RegistryUser } from "../registry/index.ts";
import { assertNothingLeft, attributes, REAL, rejectsWith, textFiles } from "./support.ts";

const thing = artifact([fileLayer("a", "a\n")]);
const HELPER = "docker-credential-test";

/** A driver whose PATH begins with a folder of scripts, and a registry; Ann may pull if her password is right. */
async function use({ kind = "basic" as "basic" | "bearer", anonymousPull = [] as string[] } = {}) {
  const users: Record<string, RegistryUser> = { ann: { password: "first" }, pusher: { password: "x" } };
  const auth = kind === "basic" ? { kind, users } : { kind, users, anonymousPull };
  const registry = await EmbeddedRegistry.start({ auth });
  await push({ url: registry.url, username: "pusher", password: "x" }, "team/thing", thing, "v1");
  const folder = await Sandbox.create();
  const programs = new Programs(join(folder.folder, "bin"));
  const sandbox = await Sandbox.create({ env: { PATH: `${programs.folder}:${process.env["PATH"] ?? ""}` } });
  const [dockerConfig, providers] = ["config.json", "providers.json"].map((name) => join(folder.folder, name));
  const plugin = {
    name: "plugin",
    matchImages: [registry.host],
    defaultCacheDuration: "1h",
    apiVersion: "credentialprovider.kubelet.k8s.io/v1",
  };
  const kinds = { apiVersion: "kubelet.config.k8s.io/v1", kind: "CredentialProviderConfig" };
  await writeFile(dockerConfig ?? "", "{}");
  await writeFile(providers ?? "", JSON.stringify({ ...kinds, providers: [plugin] }));
  const driver = await sandbox.startDriver([
    `--docker-config=${dockerConfig}`,
    `--image-credential-provider-config=${providers}`,
    `--image-credential-provider-bin-dir=${programs.folder}`,
  ]);
  return {
    registry,
    users,
    programs,
    sandbox,
    driver,
    configure: (value: object) => writeFile(dockerConfig ?? "", JSON.stringify(value)),
    async publish(more: Record<string, string> = {}, secrets: Record<string, string> = {}) {
      const asked = attributes(`${registry.host}/team/thing:v1`, more);
      const volume = sandbox.kubelet.volume({ attributes: asked, secrets });
      await volume.publish({ timeoutMs: 60_000 });
      return textFiles(volume.targetPath);
    },
    async [Symbol.asyncDispose]() {
      await sandbox[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
      await registry.close();
    },
  };
}

const always = { "options.pullpolicy": "Always" };

for (const kind of ["basic", "bearer"] as const) {
  test(`a docker credential helper opens a ${kind} registry; a stale answer is fetched anew`, REAL, async () => {
    await using area = await use({ kind });
    await area.configure({ credHelpers: { [area.registry.host]: "test" } });
    area.programs.write(HELPER, helperAnswer("ann", "first"));
    area.programs.write("plugin", providerAnswer({}));
    assert.deepEqual(await area.publish(), { a: "a\n" });
    assert.deepEqual(area.programs.runs(HELPER), [`get <${area.registry.host}>`]);
    area.users["ann"] = { password: "second" };
    area.registry.door.revokeTokens();
    area.programs.write(HELPER, helperAnswer("ann", "second"));
    assert.deepEqual(await area.publish(always), { a: "a\n" });
    assert.equal(area.programs.runs(HELPER).length, 2);
  });

  test(`a credential provider plugin opens a ${kind} registry, and its answer is kept as it says`, REAL, async () => {
    await using area = await use({ kind });
    area.programs.write("plugin", providerAnswer({ [area.registry.host]: { username: "ann", password: "first" } }));
    for (let i = 0; i < 3; i++) assert.deepEqual(await area.publish(always), { a: "a\n" });
    const [run, ...more] = area.programs.runs("plugin");
    assert.match(run ?? "", /"image":"127\.0\.0\.1:\d+\/team\/thing"/);
    assert.deepEqual(more, []);
    area.users["ann"] = { password: "second" };
    area.registry.door.revokeTokens();
    area.programs.write("plugin", providerAnswer({ [area.registry.host]: { username: "ann", password: "second" } }));
    assert.deepEqual(await area.publish(always), { a: "a\n" });
    assert.equal(area.programs.runs("plugin").length, 2);
  });
}

test("the pod's secret comes first: then no program of the node is run", REAL, async () => {
  await using area = await use();
  await area.configure({ credsStore: "test" });
  for (const name of [HELPER, "plugin"]) area.programs.write(name, "exit 1");
  await area.publish({}, { username: "ann", password: "first" });
  assert.deepEqual([...area.programs.runs(HELPER), ...area.programs.runs("plugin")], []);
});

test(
  "programs that do not work: a public pull goes on with one warning each, a refused one names them",
  REAL,
  async () => {
    await using area = await use({ kind: "bearer", anonymousPull: ["team/thing"] });
    await area.configure({ credsStore: "missing" });
    area.programs.write("plugin", "echo SECRET; echo SECRET >&2; exit 7");
    for (let i = 0; i < 2; i++) assert.deepEqual(await area.publish(always), { a: "a\n" });
    const warning = /a program that tells credentials/g;
    const warnings = () => area.driver.output.match(warning) ?? [];
    await area.driver.said(new RegExp(`(${warning.source}[^]*){2}`));
    assert.equal(warnings().length, 2, area.driver.output);
    await push({ url: area.registry.url, username: "pusher", password: "x" }, "team/private", thing, "v1");
    const volume = area.sandbox.kubelet.volume({ attributes: attributes(`${area.registry.host}/team/private:v1`) });
    const says =
      /tried: --docker-config's helper docker-credential-missing \(is not there\), credential provider plugin \(ended with code 7\), anonymous/;
    await rejectsWith(volume.publish(), "UNAUTHENTICATED", says);
    assert.equal(warnings().length, 2);
    assert.doesNotMatch(area.driver.output, /SECRET/);
  },
);

test("a helper that hangs delays a public pull by 10 s, once", REAL, async () => {
  await using area = await use({ kind: "bearer", anonymousPull: ["team/thing"] });
  await area.configure({ credsStore: "test" });
  area.programs.write(HELPER, "sleep 1000");
  area.programs.write("plugin", providerAnswer({}));
  for (let i = 0; i < 3; i++) assert.deepEqual(await area.publish(always), { a: "a\n" });
  assert.equal(area.programs.runs(HELPER).length, 1);
});

test("a broken provider config is the node's fault; a half-written one leaves the old one in force", REAL, async () => {
  await using sandbox = await Sandbox.create();
  const config = join(sandbox.folder, "providers.yaml");
  await writeFile(config, "kind: [");
  await sandbox.startDriver([
    `--image-credential-provider-config=${config}`,
    `--image-credential-provider-bin-dir=${sandbox.folder}`,
  ]);
  const volume = sandbox.kubelet.volume({ attributes: attributes("127.0.0.1:1/team/thing:v1") });
  await rejectsWith(
    volume.publish(),
    "UNAVAILABLE",
    /not set up right on this node: --image-credential-provider-config is no/,
  );
  await assertNothingLeft(sandbox);
});
