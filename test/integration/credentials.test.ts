import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { Sandbox } from "../driver/index.ts";
import {
  artifact,
  DOCKER_REGISTRY_USER,
  DockerRegistry,
  EmbeddedRegistry,
  fileLayer,
  push,
  type RegistryAuth,
} from "../registry/index.ts";
import { assertNothingLeft, attributes, REAL, rejectsWith, textFiles } from "./support.ts";

const PASSWORD = "pa55:word-marker";
const IDENTITY_TOKEN = "identity-token-marker";
const ann = { password: PASSWORD, identityToken: IDENTITY_TOKEN };
const thing = artifact([fileLayer("a", "a\n")]);

/** A registry that wants to know who asks, with team/thing:v1 in it. Bob is known, but may not read it. */
async function startGuarded(kind: "basic" | "bearer"): Promise<EmbeddedRegistry> {
  const auth: RegistryAuth = { kind, users: { ann, bob: { password: "bob", pull: [] } } };
  const registry = await EmbeddedRegistry.start({ auth });
  await push({ url: registry.url, username: "ann", password: PASSWORD }, "team/thing", thing, "v1");
  registry.log.clear();
  return registry;
}

function basic(username: string, password: string): string {
  return Buffer.from(`${username}:${password}`).toString("base64");
}

/** The forms in which a pod's secret may carry one and the same credential. */
function secretForms(host: string): Record<string, Record<string, string>> {
  const entry = { auth: basic("ann", PASSWORD) };
  return {
    ".dockerconfigjson": { ".dockerconfigjson": JSON.stringify({ auths: { [host]: entry } }) },
    ".dockercfg": { ".dockercfg": JSON.stringify({ [host]: entry }) },
    "username and password": { username: "ann", password: PASSWORD },
  };
}

for (const kind of ["basic", "bearer"] as const) {
  for (const form of Object.keys(secretForms(""))) {
    test(`a pod's secret opens a ${kind} registry: ${form}`, REAL, async () => {
      await using registry = await startGuarded(kind);
      await using sandbox = await Sandbox.start();
      const secrets = secretForms(registry.host)[form] ?? {};
      const volume = sandbox.kubelet.volume({ attributes: attributes(`${registry.host}/team/thing:v1`), secrets });
      await volume.publish();
      assert.deepEqual(await textFiles(volume.targetPath), { a: "a\n" });
      const [first] = registry.log.entries;
      assert.equal(first?.headers.authorization, undefined, "credentials are sent after a challenge only");
    });
  }

  test(`a ${kind} registry: no secret and a wrong one are refused, the right one then works`, REAL, async () => {
    await using registry = await startGuarded(kind);
    await using sandbox = await Sandbox.start();
    const asked = { attributes: attributes(`${registry.host}/team/thing:v1`) };
    await rejectsWith(sandbox.kubelet.volume(asked).publish(), "UNAUTHENTICATED", /team\/thing/);
    const wrong = { username: "ann", password: "wrong-marker" };
    const refused = sandbox.kubelet.volume({ ...asked, secrets: wrong });
    const { message } = await rejectsWith(refused.publish(), "UNAUTHENTICATED");
    assert.doesNotMatch(message, /wrong-marker/);
    await assertNothingLeft(sandbox);
    const right = { username: "ann", password: PASSWORD };
    await sandbox.kubelet.volume({ ...asked, secrets: right }).publish();
  });

  test(`--docker-config opens a ${kind} registry, and is read again when it changes`, REAL, async () => {
    await using registry = await startGuarded(kind);
    await using sandbox = await Sandbox.create();
    const file = join(sandbox.folder, "config.json");
    await writeFile(file, "{}");
    await sandbox.startDriver([`--docker-config=${file}`]);
    const asked = { attributes: attributes(`${registry.host}/team/thing:v1`) };
    await rejectsWith(sandbox.kubelet.volume(asked).publish(), "UNAUTHENTICATED");
    await writeFile(file, JSON.stringify({ auths: { [registry.host]: { auth: basic("ann", PASSWORD) } } }));
    await sandbox.kubelet.volume(asked).publish();
  });
}

test("who is known but may not read gets PERMISSION_DENIED from a registry that answers 403", REAL, async () => {
  await using registry = await startGuarded("basic");
  await using sandbox = await Sandbox.start();
  const secrets = { username: "bob", password: "bob" };
  const volume = sandbox.kubelet.volume({ attributes: attributes(`${registry.host}/team/thing:v1`), secrets });
  await rejectsWith(volume.publish(), "PERMISSION_DENIED", /team\/thing/);
  await assertNothingLeft(sandbox);
});

for (const method of ["GET", "POST"] as const) {
  test(`a token endpoint that answers ${method} only`, REAL, async () => {
    const auth: RegistryAuth = { kind: "bearer", users: { ann }, tokenMethods: [method] };
    await using registry = await EmbeddedRegistry.start({ auth });
    if (method === "GET")
      await push({ url: registry.url, username: "ann", password: PASSWORD }, "team/thing", thing, "v1");
    else fill(registry);
    await using sandbox = await Sandbox.start();
    const secrets = { username: "ann", password: PASSWORD };
    const volume = sandbox.kubelet.volume({ attributes: attributes(`${registry.host}/team/thing:v1`), secrets });
    await volume.publish();
    assert.deepEqual(await textFiles(volume.targetPath), { a: "a\n" });
  });
}

test("an identity token is exchanged by POST", REAL, async () => {
  await using registry = await startGuarded("bearer");
  await using sandbox = await Sandbox.start();
  const config = { auths: { [registry.host]: { identitytoken: IDENTITY_TOKEN } } };
  const secrets = { ".dockerconfigjson": JSON.stringify(config) };
  const volume = sandbox.kubelet.volume({ attributes: attributes(`${registry.host}/team/thing:v1`), secrets });
  await volume.publish();
  assert.ok(registry.log.select({ origin: "token", method: "POST" }).length > 0);
});

test("a public repository behind tokens needs no secret", REAL, async () => {
  const auth: RegistryAuth = { kind: "bearer", users: {}, anonymousPull: ["team/thing"] };
  await using registry = await EmbeddedRegistry.start({ auth });
  fill(registry);
  await using sandbox = await Sandbox.start();
  await sandbox.kubelet.volume({ attributes: attributes(`${registry.host}/team/thing:v1`) }).publish();
});

test("Debian's registry with a password", REAL, async (t) => {
  const missing = DockerRegistry.whyNot();
  if (missing !== undefined) return t.skip(missing);
  await using registry = await DockerRegistry.start({ basicAuth: true });
  await push({ url: registry.url, ...DOCKER_REGISTRY_USER }, "team/thing", thing, "v1");
  await using sandbox = await Sandbox.start();
  const asked = { attributes: attributes(`${registry.host}/team/thing:v1`) };
  await rejectsWith(sandbox.kubelet.volume(asked).publish(), "UNAUTHENTICATED");
  await sandbox.kubelet.volume({ ...asked, secrets: DOCKER_REGISTRY_USER }).publish();
});

test("a cached artifact serves another namespace only after the registry let it in", REAL, async () => {
  await using registry = await startGuarded("basic");
  await using sandbox = await Sandbox.start();
  const asked = { attributes: attributes(`${registry.host}/team/thing:v1`) };
  const secrets = { username: "ann", password: PASSWORD };
  await sandbox.kubelet.volume({ ...asked, secrets, namespace: "one" }).publish();
  await sandbox.kubelet.volume({ ...asked, namespace: "one" }).publish();

  registry.log.clear();
  const stranger = sandbox.kubelet.volume({ ...asked, namespace: "two" });
  await rejectsWith(stranger.publish(), "UNAUTHENTICATED");
  const never = attributes(`${registry.host}/team/thing:v1`, { "options.pullpolicy": "Never" });
  await rejectsWith(sandbox.kubelet.volume({ attributes: never, namespace: "two" }).publish(), "NOT_FOUND");
  await sandbox.kubelet.volume({ ...asked, secrets, namespace: "two" }).publish();
  assert.equal(registry.log.blobGets().length, 0, "the bytes are shared");
});

test("secrets of a wrong form are INVALID_ARGUMENT and named by key, not by value", REAL, async () => {
  await using sandbox = await Sandbox.start();
  const asked = { attributes: attributes("127.0.0.1:9/team/thing:v1") };
  const forms: Record<string, string>[] = [
    { ".dockerconfigjson": "no-json-marker" },
    { ".dockercfg": "[7, 'marker'" },
    { username: "ann-marker" },
    { password: "lonely-marker" },
  ];
  for (const secrets of forms) {
    const { message } = await rejectsWith(sandbox.kubelet.volume({ ...asked, secrets }).publish(), "INVALID_ARGUMENT");
    assert.match(message, /dockerconfigjson|dockercfg|username|password/);
    assert.doesNotMatch(message, /marker/);
  }
});

/** Puts team/thing:v1 into a registry past its doorkeeper. */
function fill(registry: EmbeddedRegistry): void {
  for (const { digest, bytes } of thing.blobs) registry.content.putBlob("team/thing", digest, bytes);
  registry.content.putManifest("team/thing", "v1", thing);
}
