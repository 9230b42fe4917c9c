import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { runCommand } from "../../test/helpers/command-run.ts";
import { useTempFolder } from "../../test/helpers/temp-folder.ts";
import {
  artifact,
  createCertificates,
  EmbeddedRegistry,
  fileLayer,
  image,
  index,
  push,
  sha256Of,
  tarOfFolder,
} from "../../test/registry/index.ts";

test("--platform says what is taken from an index, be it an image", async (t) => {
  await using registry = await EmbeddedRegistry.start();
  const tar = await tarOfFolder("etc", { arch: "s390x" });
  const anImage = image([{ packed: gzipSync(tar), diffId: sha256Of(tar) }]);
  const entries = [
    { manifest: anImage, platform: { os: "linux", architecture: "s390x" } },
    {
      manifest: artifact([fileLayer("etc/arch", "arm")]),
      platform: { os: "linux", architecture: "arm", variant: "v6" },
    },
  ];
  await push(registry, "team/thing", index(entries), "v1");
  const output = useTempFolder(t);
  const pull = (platform: string) =>
    runCommand(["pull", "--plain-http", "--platform", platform, "-o", output, `${registry.host}/team/thing:v1`]);
  for (const [platform, arch] of Object.entries({ "linux/s390x": "s390x", "linux/arm/v7": "arm" })) {
    const { code, error } = await pull(platform);
    assert.deepEqual([code, error], [0, ""]);
    assert.equal(readFileSync(join(output, "etc/arch"), "utf8"), arch);
  }
  const { code, error } = await pull("linux/riscv64");
  assert.equal(code, 1);
  assert.match(error, /^oras-csi: .*nothing for platform linux\/riscv64; it has linux\/s390x, linux\/arm\/v6\n$/);
});

test("--ca-file and --insecure: what TLS is trusted; --registry-config and -u: who is let in", async (t) => {
  const tls = await createCertificates();
  const users = { ann: { password: "pa55" } };
  await using registry = await EmbeddedRegistry.start({ tls, auth: { kind: "bearer", users } });
  const login = { url: registry.url, ca: tls.ca, username: "ann", password: "pa55" };
  await push(login, "team/thing", artifact([fileLayer("file", "new")]), "v1");
  const folder = useTempFolder(t);
  const [roots, config] = [join(folder, "ca.pem"), join(folder, "config.json")];
  writeFileSync(roots, tls.ca);
  writeFileSync(config, JSON.stringify({ auths: { [registry.host]: { auth: btoa("ann:pa55") } } }));
  const trusted = ["--ca-file", roots];
  const byConfig = ["--registry-config", config];
  const byName = ["-u", "ann", "--password-stdin"];
  const ways: [string[], RegExp?][] = [
    [[...trusted, ...byConfig]],
    [[...trusted, ...byName]],
    [["--insecure", ...byName]],
    [byConfig, /give its CA by --ca-file, or use --insecure\n$/],
    [trusted, /401 Unauthorized.*tried: anonymous;.*\n$/],
  ];
  for (const [i, [flags, says]] of ways.entries()) {
    const output = join(folder, `output-${i}`);
    const argv = ["pull", ...flags, "-o", output, `${registry.host}/team/thing:v1`];
    const { code, error } = await runCommand(argv, { input: "pa55\n" });
    assert.equal(code, says === undefined ? 0 : 1, error);
    assert.match(error, says ?? /^$/);
    if (says === undefined) assert.equal(readFileSync(join(output, "file"), "utf8"), "new");
  }
});

test("--concurrency: so many blobs come at once", async (t) => {
  await using registry = await EmbeddedRegistry.start();
  await push(registry, "team/thing", artifact(Array.from({ length: 6 }, (_, i) => fileLayer(`${i}`, `${i}`))), "v1");
  registry.log.clear();
  const gate = Promise.withResolvers<void>();
  registry.fault = ({ path }) =>
    path.includes("/blobs/") ? { kind: "hold", afterBytes: 0, until: gate.promise } : undefined;
  const argv = ["pull", "--plain-http", "--concurrency=2", "-o", useTempFolder(t), `${registry.host}/team/thing:v1`];
  const pulling = runCommand(argv);
  const begun = () => registry.log.blobGets().length;
  await registry.log.waitFor(() => begun() === 2);
  for (let i = 0; i < 100; i++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(begun(), 2);
  gate.resolve();
  assert.equal((await pulling).code, 0);
});
