import assert from "node:assert/strict";
import { test } from "node:test";
import { failsAs } from "../../../test/registry-client/index.ts";
import { parseDockerConfig } from "./docker-config.ts";

/** `username:password` or an identity token of the entry that serves a repository. */
function found(config: unknown, registry: string, repository = "org/app"): string | undefined {
  const credential = parseDockerConfig(JSON.stringify(config), "--docker-config").credentialFor(registry, repository);
  if (credential === undefined) return undefined;
  assert.equal(credential.source, "--docker-config");
  if (credential.kind === "password") return `${credential.username}:${credential.password}`;
  return credential.kind === "identity-token" ? `token ${credential.token}` : "anonymous";
}

const entries: { name: string; entry: unknown; credential: string | undefined }[] = [
  { name: "auth", entry: { auth: btoa("u:p") }, credential: "u:p" },
  { name: "colons in the password", entry: { auth: btoa("u:p:q:") }, credential: "u:p:q:" },
  { name: "a newline in the password", entry: { auth: btoa("u:p\nq") }, credential: "u:p\nq" },
  {
    name: "wrapped base64",
    entry: { auth: `${btoa("user:password").slice(0, 8)}\r\n ${btoa("user:password").slice(8)}\n` },
    credential: "user:password",
  },
  { name: "base64 without padding", entry: { auth: btoa("u:pw").replace(/=+$/, "") }, credential: "u:pw" },
  { name: "padding with NULs", entry: { auth: btoa("u:p\0\0") }, credential: "u:p" },
  { name: "UTF-8", entry: { auth: Buffer.from("ü:pä").toString("base64") }, credential: "ü:pä" },
  { name: "fields", entry: { username: "u", password: "p" }, credential: "u:p" },
  { name: "auth and fields", entry: { auth: btoa("a:b"), username: "u", password: "p" }, credential: "a:b" },
  { name: "an empty auth and fields", entry: { auth: "", username: "u", password: "p" }, credential: "u:p" },
  { name: "an identity token", entry: { auth: btoa("u:"), identitytoken: "it" }, credential: "token it" },
  { name: "an identity token as a password", entry: { auth: btoa("<token>:it") }, credential: "token it" },
  { name: "nothing (kept by a helper)", entry: {}, credential: undefined },
  { name: "null", entry: null, credential: undefined },
  { name: "values of other types", entry: { auth: 5, username: 6 }, credential: undefined },
];
for (const { name, entry, credential } of entries) {
  test(`an entry with ${name}`, () => {
    assert.equal(found({ auths: { "r.example": entry } }, "r.example"), credential);
  });
}

const keys: { key: string; registry: string; repository?: string; matches: boolean }[] = [
  { key: "r.example", registry: "r.example", matches: true },
  { key: "R.Example", registry: "r.example", matches: true },
  { key: "https://r.example", registry: "r.example", matches: true },
  { key: "https://r.example/", registry: "r.example", matches: true },
  { key: "HTTPS://R.example/v2/", registry: "r.example", matches: true },
  { key: "https://r.example:443/v1", registry: "r.example", matches: true },
  { key: "http://r.example:5000/v2", registry: "r.example:5000", matches: true },
  { key: "r.example", registry: "r.example:5000", matches: false },
  { key: "r.example:5000", registry: "r.example", matches: false },
  { key: "example", registry: "r.example", matches: false },
  { key: "r.example/org", registry: "r.example", matches: true },
  { key: "r.example/org/app", registry: "r.example", matches: true },
  { key: "https://r.example/v2/org/", registry: "r.example", matches: true },
  { key: "r.example/or", registry: "r.example", matches: false },
  { key: "r.example/org/app/x", registry: "r.example", matches: false },
  { key: "docker.io", registry: "docker.io", matches: true },
  { key: "index.docker.io", registry: "docker.io", matches: true },
  { key: "registry-1.docker.io", registry: "docker.io", matches: true },
  { key: "https://index.docker.io/v1/", registry: "docker.io", matches: true },
  { key: "docker.io/org", registry: "docker.io", matches: true },
  { key: "[::1]:5000", registry: "[::1]:5000", matches: true },
];
for (const { key, registry, matches } of keys) {
  test(`the key ${key} ${matches ? "serves" : "does not serve"} ${registry}/org/app`, () => {
    assert.equal(found({ auths: { [key]: { auth: btoa("u:p") } } }, registry), matches ? "u:p" : undefined);
  });
}

test("the longest path wins, whatever the order; an empty entry does not", () => {
  const auths = {
    "r.example": { auth: btoa("host:p") },
    "r.example/org/app": { auth: btoa("app:p") },
    "r.example/org": { auth: btoa("org:p") },
    "r.example/org/empty": {},
  };
  assert.equal(found({ auths }, "r.example", "org/app"), "app:p");
  assert.equal(found({ auths }, "r.example", "org/app2"), "org:p");
  assert.equal(found({ auths }, "r.example", "org/empty"), "org:p");
  assert.equal(found({ auths }, "r.example", "other"), "host:p");
});

test("the older form without auths, and a config without any", () => {
  assert.equal(found({ "r.example": { auth: btoa("u:p"), email: "x" } }, "r.example"), "u:p");
  assert.equal(found({ credsStore: "pass", HttpHeaders: { "X-A": "b" } }, "r.example"), undefined);
  assert.equal(found({ auths: null }, "r.example"), undefined);
  assert.equal(parseDockerConfig(`\uFEFF{"auths":{}}`, "x").credentialFor("r", "x"), undefined);
});

for (const text of ["", "{SECRET", "[]", '"SECRET"', '{"auths": "SECRET"}']) {
  test(`${JSON.stringify(text)} is no docker config, and is not quoted`, () => {
    assert.throws(
      () => parseDockerConfig(text, "--docker-config"),
      failsAs("bad-input", /^--docker-config is no docker config/, /^((?!SECRET).)*$/),
    );
  });
}

test("a malformed entry is told when its registry is asked for, and keeps nobody else from theirs", () => {
  for (const auth of [btoa("no colon SECRET"), "!SECRET!"]) {
    const config = parseDockerConfig(
      JSON.stringify({ auths: { "a.example": { auth }, "b.example": { auth: btoa("u:p") } } }),
      "the file",
    );
    assert.equal(config.credentialFor("b.example", "x")?.kind, "password");
    assert.throws(
      () => config.credentialFor("a.example", "x"),
      failsAs("bad-input", /^the file: the auth of "a\.example" is not base64 of username:password$/),
    );
  }
});
