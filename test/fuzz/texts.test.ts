import assert from "node:assert/strict";
import { test } from "node:test";
import { DriverError, type ErrorKind } from "../../src/base/index.ts";
import { formatReference, parseReference } from "../../src/oci/index.ts";
import { parseChallenges } from "../../src/registry/auth/challenge.ts";
import { parseProviderConfig } from "../../src/registry/credentials/provider-config.ts";
import { parseHostsFile } from "../../src/registry/hosts/hosts-file.ts";
import { parseDockerConfig } from "../../src/registry/index.ts";
import { runFuzz } from "./fuzz-run.ts";
import { mutateBytes } from "./mutate.ts";
import type { Prng } from "../helpers/prng.ts";
import { mutateJson } from "./random-json.ts";

const auth = Buffer.from("user:password-marker").toString("base64");
const configs: readonly [object, ...object[]] = [
  { auths: { "*.example": { auth } }, credHelpers: { "a.example/team": "h", "docker.io": "d" } },
  { auths: { "https://a.example/v2/": { auth }, "a.example/team": { username: "u", password: "p" } }, credsStore: "x" },
  { "a.example": { auth }, "docker.io": { identitytoken: "token-marker" }, HttpHeaders: { "User-Agent": "x" } },
];
const words = ["a.example", "https://a.example:443/v1/team/", "<token>", auth, `${auth}====`, "user"] as const;
const references: readonly [string, ...string[]] = [
  "a.example:5000/team/thing:v1",
  `localhost/a/b_c--d.e:tag@sha256:${"0123456789abcdef".repeat(4)}`,
  "[::1]:5000/a",
  "busybox",
  "docker.io/busybox:latest",
];
const hostsFiles: readonly [string, ...string[]] = [
  'server = "https://u:password-marker@a.example/proxy/"\nca = ["x.crt", "/y.crt"]\n[host."http://b.example:5000"]\nskip_verify = true\n',
  '[host."https://b.example/api"]\noverride_path = true\nclient = [["c", "k"]]\ndial_timeout = "2s"\n[host."https://b.example/api".header]\nX = ["password-marker"]\n',
];
const providers = {
  apiVersion: "kubelet.config.k8s.io/v1",
  kind: "CredentialProviderConfig",
  providers: [
    {
      name: "plugin",
      matchImages: ["*.example"],
      defaultCacheDuration: "1h0m0s",
      apiVersion: "credentialprovider.kubelet.k8s.io/v1",
      args: ["get"],
      env: [{ name: "KEY", value: "password-marker" }],
    },
  ],
};
const challenges: readonly [string, ...string[]] = [
  'Bearer realm="https://a.example/token",service="r",scope="repository:a/b:pull", error="\\"x\\""',
  'NTLM TlRMTVNTUAAB==, Basic realm="x, y", Negotiate',
];

test("no mutated docker config fails in a way that is not foreseen, or is quoted", async (t) => {
  await runFuzz(t, {
    iterations: 3000,
    tryOne: (prng) => {
      const json = mutateJson(prng.pick(configs), words, prng.pick([0, 20, 100]), prng);
      const text = prng.oneIn(2) ? json : mutateText(json, JSON.stringify(configs), prng);
      return outcomeOf("bad-input", () => {
        const config = parseDockerConfig(text, "the file");
        const registry = prng.pick(["a.example", "docker.io"]);
        for (const { name } of config.helpersFor(registry, "team/thing")) assert.notEqual(name, "");
        for (const { host } of config.logins()) assert.equal(typeof host, "string");
        const credential = config.credentialFor(registry, "team/thing");
        if (credential === undefined) return "no credential";
        if (credential.kind === "identity-token") assert.equal(typeof credential.token, "string");
        if (credential.kind === "password") assert.equal(typeof (credential.username + credential.password), "string");
        return credential.kind;
      });
    },
  });
});

test("no mutated reference fails in a way that is not foreseen, or means another when it is written out", async (t) => {
  await runFuzz(t, {
    iterations: 3000,
    tryOne: (prng) => {
      const text = mutateText(prng.pick(references), prng.pick(references), prng);
      return outcomeOf("bad-input", () => {
        const reference = parseReference(text);
        assert.deepEqual(parseReference(formatReference(reference)), reference);
        assert.doesNotMatch(formatReference(reference), /\.\.\/|[\s\\?#%]|[^\x20-\x7e]/);
        return "reference";
      });
    },
  });
});

test("no mutated hosts.toml fails in a way that is not foreseen, or is quoted", async (t) => {
  await runFuzz(t, {
    iterations: 3000,
    tryOne: (prng) => {
      const text = mutateText(prng.pick(hostsFiles), prng.pick(hostsFiles), prng);
      return outcomeOf("bad-input", () => {
        const hosts = parseHostsFile(text, "the file", "/certs.d/x");
        assert.ok(hosts.length > 0);
        for (const { root, caFiles } of hosts) {
          assert.ok(root === undefined || !root.path.endsWith("/"));
          for (const path of caFiles) assert.ok(path.startsWith("/"));
        }
        return "hosts";
      });
    },
  });
});

test("no mutated provider config fails in a way that is not foreseen, or is quoted", async (t) => {
  await runFuzz(t, {
    iterations: 2000,
    tryOne: (prng) => {
      const text = prng.oneIn(2)
        ? mutateJson(providers, words, prng.pick([0, 20]), prng)
        : mutateText(JSON.stringify(providers), JSON.stringify(configs), prng);
      return outcomeOf("bad-input", () => {
        for (const { name, defaultCacheMs } of parseProviderConfig(text, "the file")) {
          assert.doesNotMatch(name, /[/\s]/);
          assert.ok(defaultCacheMs >= 0);
        }
        return "providers";
      });
    },
  });
});

test("no mutated challenge fails", async (t) => {
  await runFuzz(t, {
    iterations: 3000,
    tryOne: (prng) => {
      const found = parseChallenges([mutateText(prng.pick(challenges), prng.pick(challenges), prng)]);
      for (const { scheme, parameters } of found) {
        assert.match(scheme, /^[^\sA-Z,="]+$/);
        assert.ok(!parameters.has(""));
      }
      return found.length === 0 ? "nothing" : "challenges";
    },
  });
});

function mutateText(text: string, other: string, prng: Prng): string {
  return mutateBytes(Buffer.from(text), Buffer.from(other), prng).toString(prng.pick(["utf8", "latin1"]));
}

/** What the call returns, or the kind that its error must be of. Another error is a finding. */
function outcomeOf(kind: ErrorKind, call: () => string): string {
  try {
    return call();
  } catch (error) {
    if (!(error instanceof DriverError) || error.kind !== kind) throw error;
    assert.doesNotMatch(error.message, /marker|dXNlcjpwYXNzd29y/);
    return kind;
  }
}
