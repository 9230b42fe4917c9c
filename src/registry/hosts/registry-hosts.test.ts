import assert from "node:assert/strict";
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, type TestContext, test } from "node:test";
import { useLog } from "../../../test/helpers/log-lines.ts";
import { useTempFolder } from "../../../test/helpers/temp-folder.ts";
import { type Certificates, createCertificates } from "../../../test/registry/index.ts";
import { hostLabel } from "../http/target.ts";
import { RegistryHosts } from "./registry-hosts.ts";

let certificates: Certificates;
before(async () => {
  certificates = await createCertificates();
});

function use(t: TestContext) {
  const folder = useTempFolder(t);
  const { log, lines } = useLog();
  const hosts = new RegistryHosts({ folder, log });
  return {
    hosts,
    lines,
    folder,
    write(name: string, text: string) {
      mkdirSync(join(folder, name, ".."), { recursive: true });
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    },
    /** The hosts of a registry, `-` for itself. */
    async of(registry: string) {
      return (await hosts.hostsOf(registry)).map(({ root }) => (root === undefined ? "-" : hostLabel(root)));
    },
  };
}

const mirror = (name: string) => `[host."https://${name}"]\n`;

test("without a folder the registry itself is asked", async () => {
  const { log, lines } = useLog();
  const [host, ...more] = await new RegistryHosts({ folder: "/nowhere", log }).hostsOf("r.example");
  assert.equal(more.length, 0);
  assert.equal(host?.kind, "origin");
  assert.equal(host.root, undefined);
  assert.deepEqual(lines, []);
});

test("host_port_ before host:port before _default, by the registry's whole name", async (t) => {
  const { of, write } = use(t);
  write("_default/hosts.toml", mirror("fallback.example"));
  assert.deepEqual(await of("r.example:5000"), ["fallback.example", "-"]);
  write("r.example/hosts.toml", mirror("portless.example"));
  assert.deepEqual(await of("r.example:5000"), ["fallback.example", "-"]);
  write("r.example:5000/hosts.toml", mirror("colon.example"));
  assert.deepEqual(await of("r.example:5000"), ["colon.example", "-"]);
  write("r.example_5000_/hosts.toml", mirror("underscore.example"));
  assert.deepEqual(await of("r.example:5000"), ["underscore.example", "-"]);
  assert.deepEqual(await of("r.example"), ["portless.example", "-"]);
  assert.deepEqual(await of("docker.io"), ["fallback.example", "-"]);
});

test("a folder of its own without a hosts.toml keeps _default away, and its certificates count", async (t) => {
  const { hosts, write } = use(t);
  write("_default/hosts.toml", mirror("fallback.example"));
  write("r.example/ca.crt", certificates.ca);
  write("r.example/me.cert", certificates.cert);
  write("r.example/me.key", certificates.key);
  write("r.example/lonely.cert", certificates.cert);
  const [host, ...more] = await hosts.hostsOf("r.example");
  assert.equal(more.length, 0);
  assert.equal(host?.root, undefined);
  assert.equal(host?.tls?.caCertificates.length, 1);
  assert.deepEqual(host?.tls?.clientCertificates, [{ certificate: certificates.cert, key: certificates.key }]);
});

test("what is the registry itself and what is a mirror", async (t) => {
  const { hosts, write } = use(t);
  const text = `server = "https://registry-1.docker.io"\n${mirror("m.example")}${mirror("docker.io")}`;
  write("docker.io/hosts.toml", text);
  const kinds = (await hosts.hostsOf("docker.io")).map(({ kind }) => kind);
  assert.deepEqual(kinds, ["mirror", "origin", "origin"]);
});

test("skip_verify is a matter of TLS", async (t) => {
  const { hosts, write } = use(t);
  write(
    "r.example/hosts.toml",
    '[host."http://a.example"]\nskip_verify = true\n[host."https://b.example"]\nskip_verify = true',
  );
  const trusts = (await hosts.hostsOf("r.example")).map(({ trust }) => trust);
  assert.deepEqual(trusts, [undefined, "unverified", undefined]);
});

test("changes count at once, a file that is not right leaves the old one in force, one that is gone does not", async (t) => {
  const { of, write, lines, folder } = use(t);
  write("r.example/hosts.toml", mirror("one.example"));
  assert.deepEqual(await of("r.example"), ["one.example", "-"]);
  write("r.example/hosts.toml", mirror("two.example"));
  assert.deepEqual(await of("r.example"), ["two.example", "-"]);
  assert.deepEqual(lines, []);
  for (const half of ['[host."https://th', ""]) {
    write("r.example/hosts.toml", half);
    for (let i = 0; i < 2; i++) assert.deepEqual(await of("r.example"), ["two.example", "-"]);
    assert.deepEqual(
      lines.splice(0).map(({ level }) => level),
      ["warn"],
    );
  }
  write("r.example/hosts.toml", mirror("three.example"));
  assert.deepEqual(await of("r.example"), ["three.example", "-"]);
  rmSync(join(folder, "r.example/hosts.toml"));
  assert.deepEqual(await of("r.example"), ["-"]);
  assert.deepEqual(lines, []);
});

test("a swap of a parent link, as kubelet updates a ConfigMap, is seen", async (t) => {
  const { folder } = use(t);
  const { log } = useLog();
  for (const [version, name] of [
    ["..1", "one.example"],
    ["..2", "two.example"],
  ] as const) {
    mkdirSync(join(folder, version, "r.example"), { recursive: true });
    writeFileSync(join(folder, version, "r.example/hosts.toml"), mirror(name));
  }
  symlinkSync("..1", join(folder, "..data"));
  const hosts = new RegistryHosts({ folder: join(folder, "..data"), log });
  const first = async () => (await hosts.hostsOf("r.example"))[0]?.root?.host;
  assert.equal(await first(), "one.example");
  symlinkSync("..2", join(folder, "..new"));
  renameSync(join(folder, "..new"), join(folder, "..data"));
  assert.equal(await first(), "two.example");
});

test("a hosts.toml that never was right is told once, and the registry itself is asked", async (t) => {
  const { of, write, lines } = use(t);
  write("r.example/hosts.toml", "server = 5");
  for (let i = 0; i < 2; i++) assert.deepEqual(await of("r.example"), ["-"]);
  assert.deepEqual(
    lines.map(({ level, reason }) => [level, String(reason).replace(/^\S+\//, "")]),
    [["warn", "hosts.toml: server must be a URL"]],
  );
});

test("a host whose files are not right cannot be asked, and says why without a key", async (t) => {
  const { hosts, write, folder } = use(t);
  write(
    "r.example/hosts.toml",
    '[host."https://a.example"]\nca = "ca.pem"\n[host."https://b.example"]\nclient = [["c.pem", "c.key"]]',
  );
  write("r.example/c.pem", certificates.cert);
  write("r.example/c.key", "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n");
  const problems = async () => (await hosts.hostsOf("r.example")).map(({ problem }) => problem?.replaceAll(folder, ""));
  const [missing, broken, own] = await problems();
  assert.match(missing ?? "", /ENOENT.*ca\.pem/);
  assert.equal(broken, "/r.example/c.key holds no private key in PEM form that can be read without a password");
  assert.equal(own, undefined);
  write("r.example/ca.pem", certificates.ca);
  write("r.example/c.key", certificates.key);
  assert.deepEqual(await problems(), [undefined, undefined, undefined]);
});
