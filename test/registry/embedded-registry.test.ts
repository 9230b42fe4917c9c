import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import {
  artifact,
  createCertificates,
  DOCKER_REGISTRY_USER,
  DockerRegistry,
  EmbeddedRegistry,
  fileLayer,
  folderLayer,
  index,
  push,
  sha256Of,
} from "./index.ts";

const hello = artifact([fileLayer("hello.txt", "hello\n")]);
const greeting = fileLayer("hello.txt", "hello\n");

test("what is pushed comes back by tag and by digest, and the log has seen it", async () => {
  await using registry = await EmbeddedRegistry.start();
  const both = index([{ manifest: hello, platform: { os: "linux", architecture: "amd64" } }]);
  await push(registry, "team/hello", both, "v1");
  registry.log.clear();
  const manifest = await fetch(`${registry.url}/v2/team/hello/manifests/v1`);
  assert.equal(manifest.headers.get("docker-content-digest"), both.digest);
  assert.equal(sha256Of(Buffer.from(await manifest.arrayBuffer())), both.digest);
  const child = await fetch(`${registry.url}/v2/team/hello/manifests/${hello.digest}`);
  assert.equal(child.status, 200);
  const blob = await fetch(`${registry.url}/v2/team/hello/blobs/${greeting.digest}`, {
    headers: { range: "bytes=1-3" },
  });
  assert.deepEqual([blob.status, await blob.text()], [206, "ell"]);
  assert.equal((await fetch(`${registry.url}/v2/other/hello/manifests/v1`)).status, 404);
  assert.equal(registry.log.blobGets(greeting.digest).length, 1);
  assert.equal(registry.log.manifestGets().length, 3);
});

test("basic auth lets in who is known, and only where that user may read", async () => {
  const users = { ann: { password: "a", pull: ["team/hello"] }, bob: { password: "b", pull: [] } };
  await using registry = await EmbeddedRegistry.start({ auth: { kind: "basic", users } });
  await push({ url: registry.url, username: "ann", password: "a" }, "team/hello", hello, "v1");
  const status = async (who?: string) => {
    const headers: Record<string, string> =
      who === undefined ? {} : { authorization: `Basic ${Buffer.from(who).toString("base64")}` };
    return (await fetch(`${registry.url}/v2/team/hello/manifests/v1`, { headers })).status;
  };
  assert.deepEqual(
    [await status(), await status("ann:x"), await status("ann:a"), await status("bob:b")],
    [401, 401, 200, 403],
  );
});

test("bearer tokens come from the token endpoint and grant what the user may read", async () => {
  const users = { ann: { password: "a" }, bob: { password: "b", pull: [] } };
  await using registry = await EmbeddedRegistry.start({ auth: { kind: "bearer", users } });
  await push({ url: registry.url, username: "ann", password: "a" }, "team/hello", hello, "v1");
  const status = async (username: string, password: string) => {
    const form = { grant_type: "password", username, password, scope: "repository:team/hello:pull" };
    const answer = await fetch(`${registry.url}/token`, { method: "POST", body: new URLSearchParams(form) });
    if (answer.status !== 200) return answer.status;
    const { access_token } = (await answer.json()) as { access_token: string };
    const headers = { authorization: `Bearer ${access_token}` };
    return (await fetch(`${registry.url}/v2/team/hello/manifests/v1`, { headers })).status;
  };
  assert.deepEqual([await status("ann", "a"), await status("ann", "b"), await status("bob", "b")], [200, 401, 401]);
});

test("a redirect leads to a second origin that takes no Authorization", async () => {
  await using registry = await EmbeddedRegistry.start({ redirectBlobs: true });
  await push(registry, "team/hello", hello, "v1");
  const answer = await fetch(`${registry.url}/v2/team/hello/blobs/${greeting.digest}`);
  assert.equal(await answer.text(), "hello\n");
  assert.notEqual(new URL(answer.url).host, registry.host);
  const refused = await fetch(answer.url, { headers: { authorization: "Basic eDp5" } });
  assert.equal(refused.status, 400);
});

test("faults: wrong bytes, a cut, a hold that is let go", async () => {
  await using registry = await EmbeddedRegistry.start();
  const big = fileLayer("big", Buffer.alloc(1_000_000, "x"));
  await push(registry, "team/big", artifact([big]), "v1");
  const url = `${registry.url}/v2/team/big/blobs/${big.digest}`;
  registry.fault = () => ({ kind: "corrupt" });
  const wrong = Buffer.from(await (await fetch(url)).arrayBuffer());
  assert.deepEqual([wrong.length, sha256Of(wrong) === big.digest], [big.bytes.length, false]);
  registry.fault = () => ({ kind: "cut", afterBytes: 100_000 });
  await assert.rejects(async () => (await fetch(url)).arrayBuffer());
  const gate = Promise.withResolvers<void>();
  registry.fault = () => ({ kind: "hold", afterBytes: 300_000, until: gate.promise });
  const slow = fetch(url).then((answer) => answer.arrayBuffer());
  const held = await registry.log.waitFor((entry) => entry.bytesSent === 300_000);
  assert.equal(held.finished, false);
  gate.resolve();
  assert.equal(sha256Of(Buffer.from(await slow)), big.digest);
});

test("oras pull makes the same files of what the builder made", { skip: withoutOras() }, async () => {
  await using registry = await EmbeddedRegistry.start();
  const layers = [fileLayer("a/b.txt", "b\n"), await folderLayer("conf", { "x/y.txt": "y\n", z: "z\n" })];
  await push(registry, "team/folder", artifact(layers), "v1");
  const folder = await mkdtemp(join(tmpdir(), "oras-csi-pull-"));
  try {
    await promisify(execFile)(
      "oras",
      ["pull", "--plain-http", "-o", folder, `${registry.host}/team/folder:v1`],
      orasPath(),
    );
    assert.equal(await readFile(join(folder, "a/b.txt"), "utf8"), "b\n");
    assert.equal(await readFile(join(folder, "conf/x/y.txt"), "utf8"), "y\n");
    const pushed = join(folder, "push");
    await mkdir(pushed);
    await writeFile(join(pushed, "new"), "n");
    const args = ["push", "--plain-http", `${registry.host}/team/pushed:v1`, "new"];
    await promisify(execFile)("oras", args, { ...orasPath(), cwd: pushed });
    assert.ok(registry.content.manifest("team/pushed", "v1"));
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("the builder pushes to Debian's registry, over https and with a password", {
  skip: DockerRegistry.whyNot() ?? false,
}, async () => {
  const tls = await createCertificates();
  await using registry = await DockerRegistry.start({ basicAuth: true, tls });
  await push({ url: registry.url, ca: tls.ca, ...DOCKER_REGISTRY_USER }, "team/hello", hello, "v1");
  await assert.rejects(push({ url: registry.url, ca: tls.ca }, "team/hello", hello, "v2"), /401/);
});

function orasPath(): { env: NodeJS.ProcessEnv } {
  return { env: { ...process.env, PATH: `${process.env.PATH}:${process.env.HOME}/go/bin` } };
}

/** Only a machine that has the oras command tries it: the project does not install it. */
function withoutOras(): string | false {
  const folders = (orasPath().env.PATH ?? "").split(":");
  return folders.some((folder) => existsSync(join(folder, "oras"))) ? false : "the oras command is not installed";
}
