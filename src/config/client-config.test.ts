import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type ClientConfig, parseClientCommand } from "./client-config.ts";
import { clientOptions } from "./client-options.ts";
import { UsageError } from "./usage-error.ts";

const parse = (argv: readonly string[], env: Record<string, string> = {}) =>
  parseClientCommand(clientOptions, { argv, env, cwd: "/there" }).client;

const REFERENCE = "ghcr.io/org/model:v1";

test("a reference alone: https, this machine's platform, nobody's password", () => {
  assert.deepEqual(parse([REFERENCE]), {
    reference: { registry: "ghcr.io", repository: "org/model", tag: "v1", digest: undefined },
    transport: "https",
    caFile: undefined,
    registryConfig: { usual: [] },
    username: undefined,
    platform: undefined,
  });
});

const told: { name: string; argv: readonly string[]; is: Partial<ClientConfig> }[] = [
  { name: "plain http", argv: ["--plain-http"], is: { transport: "http" } },
  { name: "unverified TLS", argv: ["--insecure"], is: { transport: "insecure" } },
  { name: "http has no TLS to verify", argv: ["--insecure", "--plain-http"], is: { transport: "http" } },
  { name: "a path", argv: ["--ca-file", "ca.pem"], is: { caFile: "/there/ca.pem" } },
  { name: "a config.json", argv: ["--registry-config=/c.json"], is: { registryConfig: { path: "/c.json" } } },
  { name: "a short name", argv: ["-u", "me", "--password-stdin"], is: { username: "me" } },
  { name: "its long name", argv: ["--username=me", "--password-stdin"], is: { username: "me" } },
  {
    name: "a platform",
    argv: ["--platform", "linux/arm/v7"],
    is: { platform: { os: "linux", architecture: "arm", variant: "v7" } },
  },
];
for (const { name, argv, is } of told) {
  test(`flags stand before and after the reference: ${name}`, () => {
    for (const all of [
      [...argv, REFERENCE],
      [REFERENCE, ...argv],
    ]) {
      const config = parse(all);
      assert.deepEqual({ ...config, ...is }, config);
    }
  });
}

test("the usual config.json is where docker looks for it", () => {
  const home = { HOME: "/home/me" };
  assert.deepEqual(parse([REFERENCE], home).registryConfig, { usual: ["/home/me/.docker/config.json"] });
  const both = { ...home, DOCKER_CONFIG: "cfg" };
  assert.deepEqual(parse([REFERENCE], both).registryConfig, { usual: ["/there/cfg/config.json"] });
});

describe("refused", () => {
  const rows: readonly (readonly [argv: readonly string[], says: RegExp])[] = [
    [[], /no REFERENCE is given/],
    [[REFERENCE, "more"], /unexpected argument "more": one REFERENCE/],
    [["ghcr.io/Org/x"], /in lower case: write "org\/x"/],
    [[REFERENCE, "--plain-htp"], /unknown flag "--plain-htp" \(did you mean --plain-http\?\); allowed: --plain-http, /],
    [[REFERENCE, "-u"], /^-u needs a value/],
    [[REFERENCE, "-u", "me"], /--username and --password-stdin need each other/],
    [[REFERENCE, "--password-stdin"], /--username and --password-stdin need each other/],
    [[REFERENCE, "-u", "a:b", "--password-stdin"], /bad value "a:b" for -u: must be a name without a colon/],
    [[REFERENCE, "--platform", "linux"], /bad value "linux" for --platform: must be of the form os\/arch/],
  ];
  for (const [argv, says] of rows) {
    test(argv.join(" "), () => {
      assert.throws(
        () => parse(argv),
        (error) => error instanceof UsageError && says.test(error.message),
      );
    });
  }
});
