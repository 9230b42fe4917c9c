import assert from "node:assert/strict";
import { test } from "node:test";
import { environmentName, flagName } from "./option.ts";
import { type ConfigInput, parseConfig, type ServeConfig } from "./serve-config.ts";
import { type ServeValues, serveOptions } from "./serve-options.ts";
import { UsageError } from "./usage-error.ts";

const FILE = "/etc/oras-csi.yaml";

function parse(argv: string[], given: Partial<ConfigInput> & { file?: string } = {}): ServeConfig {
  const readFile = (path: string) => {
    if (given.file !== undefined && path === FILE) return given.file;
    throw new Error(`ENOENT: no such file or directory, open '${path}'`);
  };
  return parseConfig({ argv, env: {}, hostname: "host-1", cwd: "/here", readFile, ...given });
}

const cacheLimits = { maxBytes: undefined, ttlMs: undefined, highPercent: 75, lowPercent: 70, minPercent: 10 };

const defaults: ServeConfig = {
  csiEndpoint: "/csi/csi.sock",
  nodeId: "host-1",
  dataDir: "/var/lib/oras-csi",
  driverName: "csi.oras.land",
  enforceNamespaces: true,
  kubeletDir: "/var/lib/kubelet",
  registrationSocket: undefined,
  kubeletRegistrationPath: "/var/lib/kubelet/plugins/csi.oras.land/csi.sock",
  httpEndpoint: "off",
  concurrency: 4,
  maxPulls: 4,
  maxBandwidth: undefined,
  stallTimeout: 30_000,
  maxArtifactBytes: undefined,
  maxUnpackRatio: 200,
  cacheLimits,
  allowRegistry: [],
  registryHostsDir: "/etc/containerd/certs.d",
  dockerConfig: undefined,
  credentialProviders: undefined,
  caFile: undefined,
  selinuxLabel: "system_u:object_r:container_file_t:s0",
  logLevel: "info",
  logFormat: "json",
  ignored: [],
};

interface Sample {
  readonly text: string;
  readonly changes: Partial<ServeConfig>;
  /** Flags without which it is of no use. */
  readonly besides?: readonly string[];
}

/** For each option a text that is not its default, and what it changes; an option without a row does not compile. */
const samples: Record<Exclude<keyof ServeValues, "config">, Sample> = {
  csiEndpoint: { text: "unix:///run/x.sock", changes: { csiEndpoint: "/run/x.sock" } },
  nodeId: { text: "007", changes: { nodeId: "007" } },
  dataDir: { text: "/data", changes: { dataDir: "/data" } },
  driverName: {
    text: "csi.example.org",
    changes: {
      driverName: "csi.example.org",
      kubeletRegistrationPath: "/var/lib/kubelet/plugins/csi.example.org/csi.sock",
    },
  },
  rootDir: { text: "/mnt", changes: { dataDir: "/mnt" } },
  pluginDataDir: { text: "cache", changes: { dataDir: "/cache" } },
  mode: { text: "node", changes: { ignored: ["--mode"] } },
  handlersCount: { text: "3", changes: { ignored: ["--handlers-count"] } },
  orasLogging: { text: "true", changes: { ignored: ["--oras-logging"] } },
  sanityTestRun: { text: "false", changes: { ignored: ["--sanity-test-run"] } },
  enforceNamespaces: { text: "F", changes: { enforceNamespaces: false } },
  registrationDir: { text: "reg", changes: { registrationSocket: "/here/reg/csi.oras.land-reg.sock" } },
  kubeletDir: {
    text: "/var/lib/k0s/kubelet/",
    changes: {
      kubeletDir: "/var/lib/k0s/kubelet",
      kubeletRegistrationPath: "/var/lib/k0s/kubelet/plugins/csi.oras.land/csi.sock",
    },
  },
  kubeletRegistrationPath: { text: "unix:///k/csi.sock", changes: { kubeletRegistrationPath: "/k/csi.sock" } },
  httpEndpoint: { text: "127.0.0.1:19808", changes: { httpEndpoint: { host: "127.0.0.1", port: 19808 } } },
  concurrency: { text: "64", changes: { concurrency: 64 } },
  maxPulls: { text: "1", changes: { maxPulls: 1 } },
  maxBandwidth: { text: "50M", changes: { maxBandwidth: 50_000_000 } },
  stallTimeout: { text: "1m30s", changes: { stallTimeout: 90_000 } },
  maxArtifactBytes: { text: "20Gi", changes: { maxArtifactBytes: 21_474_836_480 } },
  maxUnpackRatio: { text: "0", changes: { maxUnpackRatio: 0 } },
  cacheMaxBytes: { text: "1.5Gi", changes: { cacheLimits: { ...cacheLimits, maxBytes: 1_610_612_736 } } },
  cacheTtl: { text: "1h30m", changes: { cacheLimits: { ...cacheLimits, ttlMs: 5_400_000 } } },
  cacheHighPercent: { text: "99", changes: { cacheLimits: { ...cacheLimits, highPercent: 99 } } },
  cacheLowPercent: { text: "11", changes: { cacheLimits: { ...cacheLimits, lowPercent: 11 } } },
  cacheMinPercent: { text: "1", changes: { cacheLimits: { ...cacheLimits, minPercent: 1 } } },
  allowRegistry: { text: "ghcr.io/a/**, b.io/c", changes: { allowRegistry: ["ghcr.io/a/**", "b.io/c"] } },
  registryHostsDir: { text: "/hosts", changes: { registryHostsDir: "/hosts" } },
  dockerConfig: { text: "/etc/docker.json", changes: { dockerConfig: "/etc/docker.json" } },
  imageCredentialProviderConfig: {
    text: "p.yaml",
    besides: ["--image-credential-provider-bin-dir=/bin"],
    changes: { credentialProviders: { config: "/here/p.yaml", binDir: "/bin" } },
  },
  imageCredentialProviderBinDir: {
    text: "bin",
    besides: ["--image-credential-provider-config=/p.yaml"],
    changes: { credentialProviders: { config: "/p.yaml", binDir: "/here/bin" } },
  },
  caFile: { text: "ca.pem", changes: { caFile: "/here/ca.pem" } },
  selinuxLabel: {
    text: "system_u:object_r:svirt_sandbox_file_t:s0:c1,c2.c5",
    changes: { selinuxLabel: "system_u:object_r:svirt_sandbox_file_t:s0:c1,c2.c5" },
  },
  logLevel: { text: "5", changes: { logLevel: "debug" } },
  logFormat: { text: "text", changes: { logFormat: "text" } },
};

test("without anything given the defaults hold, frozen", () => {
  const config = parse([]);
  assert.deepEqual(config, defaults);
  for (const value of [config, config.ignored, config.allowRegistry, config.cacheLimits])
    assert.ok(Object.isFrozen(value));
});

for (const [key, option] of Object.entries(serveOptions)) {
  test(`the default that is shown for ${key} is the default`, () => {
    if (option.defaultValue === undefined) return;
    assert.deepEqual(option.parser.parse(option.defaultText), option.defaultValue);
  });
}

for (const [key, { text, changes, besides = [] }] of Object.entries(samples)) {
  const name = flagName(key);
  const expected = { ...defaults, ...changes };
  test(`--${name} is read from flag, environment and file`, () => {
    assert.deepEqual(parse([`--${name}=${text}`, ...besides]), expected);
    assert.deepEqual(parse([...besides], { env: { [environmentName(key)]: text } }), expected);
    assert.deepEqual(parse([`--config=${FILE}`, ...besides], { file: `${name}: ${text}` }), expected);
    assert.deepEqual(parse([...besides], { env: { ORAS_CSI_CONFIG: FILE }, file: `${name}: "${text}"` }), expected);
  });
}

test("credential providers need both of their flags", () => {
  for (const [given, missing] of [
    ["config", "bin-dir"],
    ["bin-dir", "config"],
  ]) {
    assert.throws(
      () => parse([`--image-credential-provider-${given}=/x`]),
      (error) =>
        error instanceof UsageError && error.message.endsWith(`needs --image-credential-provider-${missing}, too`),
    );
  }
});

test("the percents of collection have an order", () => {
  for (const flags of ["--cache-high-percent=70", "--cache-low-percent=75", "--cache-min-percent=70"]) {
    assert.throws(
      () => parse([flags]),
      (error) => error instanceof UsageError && /in this order/.test(error.message),
    );
  }
  const all = parse(["--cache-high-percent=3", "--cache-low-percent=2", "--cache-min-percent=1"]);
  assert.deepEqual(all.cacheLimits, { ...cacheLimits, highPercent: 3, lowPercent: 2, minPercent: 1 });
});

test("flag wins over environment, environment over file, file over default", () => {
  const file = "concurrency: 5\nmax-pulls: 5\nnode-id: file\nlog-level: trace\n";
  const env = { ORAS_CSI_CONCURRENCY: "6", ORAS_CSI_MAX_PULLS: "6", ORAS_CSI_NODE_ID: "env" };
  const config = parse(["--config", FILE, "--concurrency", "7"], { env, file });
  assert.deepEqual(config, { ...defaults, concurrency: 7, maxPulls: 6, nodeId: "env", logLevel: "trace" });
});

test("registries that are allowed add up within a source, and never across sources", () => {
  const file = "allow-registry:\n  - ghcr.io/file/*\n  - '**.example.org/*'\n";
  const env = { ORAS_CSI_ALLOW_REGISTRY: "env.io/a/*,env.io/b/*" };
  const named = ["--config", FILE];
  const allowed = (argv: string[], given: Parameters<typeof parse>[1]) => parse(argv, given).allowRegistry;
  assert.deepEqual(allowed(named, { file }), ["ghcr.io/file/*", "**.example.org/*"]);
  assert.deepEqual(allowed(named, { file, env }), ["env.io/a/*", "env.io/b/*"]);
  const flags = ["--allow-registry=a.io/*", "-allow-registry", "B.io/x, c.io/*"];
  assert.deepEqual(allowed([...named, ...flags], { file, env }), ["a.io/*", "b.io/x", "c.io/*"]);
});

test("given twice, the last counts", () => {
  assert.equal(parse(["--concurrency=5", "-concurrency", "6"]).concurrency, 6);
  assert.equal(parse(["--enforce-namespaces=false", "--enforce-namespaces"]).enforceNamespaces, true);
});

test("variables of other names and empty ones are ignored", () => {
  const env = { ORAS_CSI_CONCURENCY: "x", ORAS_CSI_HELP: "1", CONCURRENCY: "9", ORAS_CSI_MAX_PULLS: "", NODE_ID: "" };
  assert.deepEqual(parse([], { env }), defaults);
});

test("the call of the Go driver's manifests is understood", () => {
  const argv = ["--csi-endpoint=unix:///csi/csi.sock", "--node-id", "n1", "--mode=node", "--oras-logging=true"];
  const config = parse([...argv, "--enforce-namespaces=true", "--root-dir=/", "-handlers-count", "3"]);
  const ignored = ["--mode", "--handlers-count", "--oras-logging"];
  assert.deepEqual(config, { ...defaults, nodeId: "n1", dataDir: "/", ignored });
});

const nodeNames: [env: Record<string, string>, nodeId: string][] = [
  [{ NODE_ID: "a", KUBE_NODE_NAME: "b" }, "a"],
  [{ NODE_ID: "", KUBE_NODE_NAME: "b" }, "b"],
  [{ KUBE_NODE_NAME: "b" }, "b"],
  [{ NODE_ID: "a", ORAS_CSI_NODE_ID: "c" }, "c"],
  [{}, "host-1"],
];
for (const [env, nodeId] of nodeNames) {
  test(`node id from ${JSON.stringify(env)}`, () => assert.equal(parse([], { env }).nodeId, nodeId));
}

const dataDirs: [argv: string[], dataDir: string][] = [
  [["--root-dir=/mnt", "--plugin-data-dir=/cache"], "/mnt/cache"],
  [["--root-dir=/mnt/", "--plugin-data-dir=a/../b"], "/mnt/b"],
  [["--plugin-data-dir=/cache"], "/cache"],
  [["--root-dir=relative"], "/here/relative"],
  [["--data-dir=data/"], "/here/data"],
  [["--root-dir=/mnt", "--plugin-data-dir=/cache", "--data-dir=/wins"], "/wins"],
];
for (const [argv, dataDir] of dataDirs) {
  test(`data dir from ${argv.join(" ")}`, () => assert.equal(parse(argv).dataDir, dataDir));
}

const refused: { name: string; argv: string[]; given?: Partial<ConfigInput> & { file?: string }; says: RegExp }[] = [
  {
    name: "an unknown flag",
    argv: ["--concurency=4"],
    says: /^unknown flag "--concurency" \(did you mean --concurrency\?\); allowed: --csi-endpoint, /,
  },
  {
    name: "an unknown flag like no other",
    argv: ["-q"],
    says: /^unknown flag "-q"; allowed: --csi-endpoint, .*--config$/,
  },
  { name: "a flag of a later version", argv: ["--live-update=true"], says: /^unknown flag/ },
  { name: "a property that every object has", argv: ["--constructor=x"], says: /^unknown flag/ },
  { name: "camel case", argv: ["--maxPulls=4"], says: /did you mean --max-pulls/ },
  {
    name: "a bad value",
    argv: ["--concurrency", "65"],
    says: /^bad value "65" for --concurrency: must be a whole number, from 1 to 64$/,
  },
  { name: "an empty value", argv: ["--concurrency="], says: /^bad value "" for --concurrency/ },
  {
    name: "a bad value that a later one replaces",
    argv: ["--max-pulls=0", "--max-pulls=4"],
    says: /"0" for --max-pulls: .* 1 or more/,
  },
  {
    name: "a bad value in the environment",
    argv: [],
    given: { env: { ORAS_CSI_LOG_LEVEL: "loud" } },
    says: /^bad value "loud" for ORAS_CSI_LOG_LEVEL: must be error, /,
  },
  { name: "another mode", argv: ["--mode=controller"], says: /"controller" for --mode: must be node$/ },
  {
    name: "a tcp endpoint",
    argv: ["--csi-endpoint=tcp://0:1"],
    says: /must be unix:\/\/\/PATH, unix:\/PATH or \/PATH.* 107 bytes/,
  },
  { name: "a long endpoint", argv: [`--csi-endpoint=/${"a".repeat(107)}`], says: /107 bytes/ },
  {
    name: "a registration dir that is too long for a socket in it",
    argv: [`--registration-dir=/${"r".repeat(85)}`],
    says: /^the registration socket, "\/r+.*, has 109 bytes, .* 107: set a shorter --registration-dir$/,
  },
  {
    name: "a kubelet dir that is too long for the CSI socket in it",
    argv: ["--registration-dir=/r", `--kubelet-dir=/${"k".repeat(90)}`],
    says: /^the CSI socket as kubelet sees it, .*: set --kubelet-registration-path$/,
  },
  { name: "a relative socket for kubelet", argv: ["--kubelet-registration-path=csi.sock"], says: /absolute/ },
  { name: "a flag without its value", argv: ["--node-id"], says: /^--node-id needs a value: must be 1 to 192 bytes/ },
  {
    name: "a boolean's value as a word",
    argv: ["--enforce-namespaces", "false"],
    says: /^unexpected argument "false": .*--x=false/,
  },
  { name: "a word", argv: ["serve"], says: /^unexpected argument "serve"/ },
  { name: "a word after --", argv: ["--", "--mode"], says: /^unexpected argument "--mode"/ },
  { name: "a bad NODE_ID", argv: [], given: { env: { NODE_ID: "a b" } }, says: /"a b" for NODE_ID .*without blanks/ },
  { name: "a host without a name", argv: [], given: { hostname: "" }, says: /set --node-id/ },
  { name: "a value of many lines", argv: ["--driver-name=a\nb"], says: /^bad value "a\\nb" for --driver-name/ },
  {
    name: "a very long value",
    argv: [`--driver-name=${"a".repeat(5000)}`],
    says: /"a{60}\.\.\.a{60}" for --driver-name/,
  },
  {
    name: "a file that is not there",
    argv: ["--config=/nope"],
    says: /^cannot read the configuration file "\/nope"$/,
  },
  {
    name: "an unknown key",
    argv: ["--config", FILE],
    given: { file: "max_pulls: 4" },
    says: /^unknown key "max_pulls" in "\/etc\/oras-csi.yaml" \(did you mean max-pulls\?\); allowed: csi-endpoint, .*log-format$/,
  },
  {
    name: "a bad value in the file",
    argv: ["--config", FILE],
    given: { file: "max-pulls: 1.5" },
    says: /^bad value "1.5" for max-pulls in "\/etc/,
  },
  {
    name: "a bad value in the file under a good flag",
    argv: ["--config", FILE, "--max-pulls=4"],
    given: { file: "max-pulls: x" },
    says: /^bad value "x"/,
  },
  {
    name: "a list for an option that has one value",
    argv: ["--config", FILE],
    given: { file: "max-pulls: [1, 2]" },
    says: /"max-pulls" must have one value, not a list or a map$/,
  },
  {
    name: "a list under an unknown key",
    argv: ["--config", FILE],
    given: { file: "allow-registries: [a.io/b]" },
    says: /^unknown key "allow-registries" .*did you mean allow-registry/,
  },
  {
    name: "a list with a value that is not allowed",
    argv: ["--config", FILE],
    given: { file: "allow-registry: [a.io/b, https://c.io/d]" },
    says: /^bad value "https:\/\/c.io\/d" for allow-registry in "\/etc.*must be globs on registry\/repository/,
  },
  { name: "no registries at all", argv: ["--allow-registry="], says: /^bad value "" for --allow-registry/ },
  { name: "a ratio below zero", argv: ["--max-unpack-ratio=-1"], says: /"-1" for --max-unpack-ratio: .* 0 or more/ },
  {
    name: "a file that names another",
    argv: ["--config", FILE],
    given: { file: "config: /other" },
    says: /cannot name another$/,
  },
];
for (const { name, argv, given, says } of refused) {
  test(`refuses ${name}, in one line`, () => {
    assert.throws(
      () => parse(argv, given),
      (error) => {
        assert.ok(error instanceof UsageError);
        assert.match(error.message, says);
        assert.ok(!error.message.includes("\n") && error.message.length <= 1000);
        return true;
      },
    );
  });
}

test("the file is read once, and only when it is named", () => {
  const paths: string[] = [];
  const readFile = (path: string) => {
    paths.push(path);
    return "";
  };
  parse([], { readFile });
  parse(["--config", "a.yaml"], { readFile });
  assert.deepEqual(paths, ["/here/a.yaml"]);
});
