import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { rootCertificates } from "node:tls";
import { useLog } from "../../test/helpers/log-lines.ts";
import { useTempFolder } from "../../test/helpers/temp-folder.ts";
import { systemClock } from "../base/index.ts";
import { parseReference } from "../oci/index.ts";
import type { CredentialOffer } from "../registry/index.ts";
import { CredentialFinder } from "./credential-finder.ts";

const [root = "", other = ""] = rootCertificates;
const reference = parseReference("ghcr.io/org/thing:v1");

function use(t: TestContext) {
  const folder = useTempFolder(t);
  const { log, lines } = useLog();
  const [dockerConfig, caFile] = [join(folder, "config.json"), join(folder, "ca.pem")];
  return {
    dockerConfig,
    caFile,
    log,
    lines,
    finder: new CredentialFinder({ dockerConfig, caFile, clock: systemClock, log }),
  };
}

const auths = (password: string) => JSON.stringify({ auths: { "ghcr.io": { username: "u", password } } });

test("the pod's secret comes first, then the node's, then none", async (t) => {
  const { dockerConfig, caFile, finder } = use(t);
  writeFileSync(dockerConfig, auths("node"));
  writeFileSync(caFile, `${root}\n`);
  const { credentials, caCertificates } = await finder.find(reference, { username: "u", password: "pod" });
  assert.deepEqual(
    credentials.map(({ source }) => source),
    ["the pod's secret", "--docker-config", "anonymous"],
  );
  assert.deepEqual(caCertificates, [root]);
});

const broken: [name: string, write: (files: { dockerConfig: string; caFile: string }) => void, says: RegExp][] = [
  ["no docker config", () => undefined, /not set up right on this node: --docker-config: ENOENT.*config\.json/],
  [
    "no JSON",
    ({ dockerConfig }) => writeFileSync(dockerConfig, "{"),
    /--docker-config is no docker config: it is not JSON/,
  ],
  [
    "a broken entry",
    ({ dockerConfig }) => writeFileSync(dockerConfig, '{"auths":{"ghcr.io":{"auth":"!"}}}'),
    /--docker-config: the auth of "ghcr\.io" is not base64/,
  ],
  ["no roots", ({ dockerConfig }) => writeFileSync(dockerConfig, "{}"), /--ca-file: ENOENT.*ca\.pem/],
  [
    "roots that are none",
    ({ dockerConfig, caFile }) => {
      writeFileSync(dockerConfig, "{}");
      writeFileSync(caFile, "no PEM");
    },
    /on this node: --ca-file holds no certificate/,
  ],
];
for (const [name, write, message] of broken) {
  test(`a file that the node cannot use is the node's fault, not the pod's: ${name}`, async (t) => {
    const files = use(t);
    write(files);
    await assert.rejects(files.finder.find(reference, {}), { kind: "unavailable", message });
  });
}

test("a broken file leaves the old value in force", async (t) => {
  const { dockerConfig, caFile, finder, lines } = use(t);
  writeFileSync(dockerConfig, auths("old"));
  writeFileSync(caFile, `${root}\n`);
  await finder.find(reference, {});
  writeFileSync(dockerConfig, "{");
  const { credentials } = await finder.find(reference, {});
  assert.deepEqual(credentials[0], {
    kind: "password",
    username: "u",
    password: "old",
    source: "--docker-config",
    owner: "node",
  });
  assert.deepEqual(
    lines.map(({ level }) => level),
    ["warn"],
  );
});

test("half-written roots leave the old ones in force", async (t) => {
  const { dockerConfig, caFile, finder, lines } = use(t);
  writeFileSync(dockerConfig, "{}");
  writeFileSync(caFile, `${root}\n`);
  await finder.find(reference, {});
  writeFileSync(caFile, `${root}\n${other.slice(0, 100)}`);
  for (let i = 0; i < 2; i++) assert.deepEqual((await finder.find(reference, {})).caCertificates, [root]);
  assert.deepEqual(
    lines.map(({ level, reason }) => [level, reason]),
    [["warn", "--ca-file holds a certificate that is cut off"]],
  );
  writeFileSync(caFile, `${root}\n${other}\n`);
  assert.deepEqual((await finder.find(reference, {})).caCertificates, [root, other]);
});

test("a mirror is shown what is configured for it by name, not the registry's", async (t) => {
  const { dockerConfig, caFile, log } = use(t);
  const folder = useTempFolder(t);
  const login = (password: string) => ({ username: "u", password });
  writeFileSync(dockerConfig, JSON.stringify({ auths: { "m.example": login("node"), "ghcr.io": login("own") } }));
  writeFileSync(caFile, `${root}\n`);
  mkdirSync(join(folder, "ghcr.io"));
  writeFileSync(join(folder, "ghcr.io/hosts.toml"), '[host."https://m.example"]\n[host."https://other.example"]\n');
  const finder = new CredentialFinder({ dockerConfig, caFile, registryHostsDir: folder, clock: systemClock, log });
  const config = { auths: { "m.example": login("pod"), "store.example": login("store"), "ghcr.io": login("pod-own") } };
  const secrets = { ".dockerconfigjson": JSON.stringify(config), username: "u", password: "unnamed" };
  const { hosts = [], credentials } = await finder.find(reference, secrets);
  const passwords = (offers: readonly CredentialOffer[]) =>
    offers.map((offer) => (offer.kind === "password" ? offer.password : offer.kind));
  assert.deepEqual(
    hosts.map((host) => [host.kind, passwords(host.credentials)]),
    [
      ["mirror", ["pod", "node", "anonymous"]],
      ["mirror", ["anonymous"]],
      ["origin", ["pod-own", "unnamed", "own", "anonymous"]],
    ],
  );
  assert.deepEqual(passwords(credentials), ["pod-own", "unnamed", "own", "anonymous"]);
  const guests = hosts[0]?.guests?.map(({ host, credential }) => [host, ...passwords([credential])]);
  assert.deepEqual(guests?.slice(0, 3), [
    ["m.example", "pod"],
    ["store.example", "store"],
    ["ghcr.io", "pod-own"],
  ]);
});
