import { posix } from "node:path";
import type { CacheLimits } from "../cache/index.ts";
import { collectValues, environmentTexts, type GivenText, keyOfName, parseText } from "./collect-values.ts";
import { parseConfigFile } from "./config-file.ts";
import { flagTexts, unknownName } from "./flag-texts.ts";
import { flagName } from "./option.ts";
import { type RegistrationPaths, registrationPaths } from "./registration-paths.ts";
import { DEFAULT_DATA_DIR, type ServeValues, serveOptions } from "./serve-options.ts";
import { quoted, UsageError } from "./usage-error.ts";

/** Flags that only say where to look, or that have no effect: the rest of the driver never sees them. */
type Consumed = "config" | "rootDir" | "pluginDataDir" | "mode" | "handlersCount" | "orasLogging" | "sanityTestRun";

type ProviderFlag = "imageCredentialProviderConfig" | "imageCredentialProviderBinDir";

type CacheFlag = "cacheMaxBytes" | "cacheTtl" | "cacheHighPercent" | "cacheLowPercent" | "cacheMinPercent";

/** Flags whose defaults depend on something, or that only say a part of what is meant. */
type Derived =
  | ProviderFlag
  | CacheFlag
  | "nodeId"
  | "dataDir"
  | "allowRegistry"
  | "registrationDir"
  | "kubeletRegistrationPath";

/** All that `serve` is told, complete and frozen. Paths are absolute. */
export interface ServeConfig extends Omit<ServeValues, Consumed | Derived>, RegistrationPaths {
  readonly nodeId: string;
  readonly dataDir: string;
  /** How large the cache may become. */
  readonly cacheLimits: CacheLimits;
  /** Globs on `registry/repository`, in lower case; empty: all are allowed. */
  readonly allowRegistry: readonly string[];
  /** Kubelet's credential provider plugins: which, and the folder that they are in. */
  readonly credentialProviders: { readonly config: string; readonly binDir: string } | undefined;
  /** Names of the flags (with dashes) that were given and have no effect. */
  readonly ignored: readonly string[];
}

/** What `parseConfig` reads; nothing else decides its result. */
export interface ConfigInput {
  /** Arguments after the command's name. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Reads the file of `--config`; may throw. */
  readonly readFile: (path: string) => string;
  readonly hostname: string;
  /** Absolute folder that relative paths start from. */
  readonly cwd: string;
}

const WITHOUT_EFFECT = ["mode", "handlersCount", "orasLogging", "sanityTestRun"] as const;

/** Flags, else environment, else file, else defaults, as one frozen value; throws a `UsageError` for anything else. */
export function parseConfig(input: ConfigInput): ServeConfig {
  const fromFlags = onlyFlags(input.argv);
  const fromEnvironment = environmentTexts(serveOptions, input.env);
  const { config } = collectValues(serveOptions, [fromEnvironment, fromFlags]);
  const fromFile = config === undefined ? [] : fileTexts(posix.resolve(input.cwd, config), input.readFile);
  const values = collectValues(serveOptions, [fromFile, fromEnvironment, fromFlags]);
  const { cwd } = input;
  const kubeletDir = posix.resolve(cwd, values.kubeletDir);
  return Object.freeze({
    csiEndpoint: values.csiEndpoint,
    nodeId: values.nodeId ?? defaultNodeId(input),
    dataDir: posix.resolve(cwd, dataDirOf(values)),
    driverName: values.driverName,
    enforceNamespaces: values.enforceNamespaces,
    kubeletDir,
    ...registrationPaths(values, { kubeletDir, cwd }),
    httpEndpoint: values.httpEndpoint,
    concurrency: values.concurrency,
    maxPulls: values.maxPulls,
    maxBandwidth: values.maxBandwidth,
    stallTimeout: values.stallTimeout,
    maxArtifactBytes: values.maxArtifactBytes,
    maxUnpackRatio: values.maxUnpackRatio,
    cacheLimits: cacheLimitsFrom(values),
    allowRegistry: Object.freeze(values.allowRegistry ?? []),
    registryHostsDir: posix.resolve(cwd, values.registryHostsDir),
    dockerConfig: absolute(cwd, values.dockerConfig),
    credentialProviders: credentialProviders(values, cwd),
    caFile: absolute(cwd, values.caFile),
    selinuxLabel: values.selinuxLabel,
    logLevel: values.logLevel,
    logFormat: values.logFormat,
    ignored: Object.freeze(
      WITHOUT_EFFECT.filter((key) => values[key] !== undefined).map((key) => `--${flagName(key)}`),
    ),
  });
}

function onlyFlags(argv: readonly string[]): readonly GivenText<ServeValues>[] {
  const { texts, words } = flagTexts(argv, serveOptions);
  const [word] = words;
  if (word !== undefined) {
    throw new UsageError(
      `unexpected argument ${quoted(word)}: only flags are allowed here, a boolean one as --x=false`,
    );
  }
  return texts;
}

function fileTexts(path: string, readFile: ConfigInput["readFile"]): GivenText<ServeValues>[] {
  let content: string;
  try {
    content = readFile(path);
  } catch (cause) {
    // Whoever prints an error adds its causes.
    throw new UsageError(`cannot read the configuration file ${quoted(path)}`, cause);
  }
  const keyOf = (name: string) =>
    keyOfName(serveOptions, name, (known) => unknownName("key", name, known, ` in ${quoted(path)}`));
  const takesList = (name: string) => serveOptions[keyOf(name)].parser.add !== undefined;
  return parseConfigFile(content, path, takesList).map(({ key: name, text }) => {
    const key = keyOf(name);
    if (key === "config") throw new UsageError(`"config" in ${quoted(path)}: a configuration file cannot name another`);
    return { key, text, source: `${name} in ${quoted(path)}` };
  });
}

/** Kubernetes manifests set one of the two variables; a machine without them is known by its name. */
function defaultNodeId({ env, hostname }: ConfigInput): string {
  const candidates = [
    { text: env["NODE_ID"], source: "NODE_ID (the default of --node-id)" },
    { text: env["KUBE_NODE_NAME"], source: "KUBE_NODE_NAME (the default of --node-id)" },
    { text: hostname, source: "the host's name (the default of --node-id)" },
  ];
  for (const { text, source } of candidates) {
    if (text === undefined || text === "") continue;
    return parseText(serveOptions.nodeId.parser, text, source);
  }
  throw new UsageError("this machine has no name: set --node-id");
}

/** The percents of collection must have an order, or it would never begin or never end. */
function cacheLimitsFrom(values: ServeValues): CacheLimits {
  const { cacheHighPercent: high, cacheLowPercent: low, cacheMinPercent: min } = values;
  if (min < low && low < high) {
    const { cacheMaxBytes: maxBytes, cacheTtl: ttlMs } = values;
    return Object.freeze({ maxBytes, ttlMs, highPercent: high, lowPercent: low, minPercent: min });
  }
  throw new UsageError(
    `--cache-min-percent ${min}, --cache-low-percent ${low} and --cache-high-percent ${high}: ` +
      "must be in this order, each below the next",
  );
}

function dataDirOf({ dataDir, rootDir, pluginDataDir }: ServeValues): string {
  if (dataDir !== undefined) return dataDir;
  if (rootDir === undefined && pluginDataDir === undefined) return DEFAULT_DATA_DIR;
  return posix.join(rootDir ?? "/", pluginDataDir ?? "/");
}

/** One of the two flags is of no use without the other. */
function credentialProviders(values: Pick<ServeValues, ProviderFlag>, cwd: string): ServeConfig["credentialProviders"] {
  const config = absolute(cwd, values.imageCredentialProviderConfig);
  const binDir = absolute(cwd, values.imageCredentialProviderBinDir);
  if (config === undefined && binDir === undefined) return undefined;
  if (config !== undefined && binDir !== undefined) return Object.freeze({ config, binDir });
  const [given, missing] = config === undefined ? ["bin-dir", "config"] : ["config", "bin-dir"];
  throw new UsageError(`--image-credential-provider-${given} needs --image-credential-provider-${missing}, too`);
}

function absolute(cwd: string, path: string | undefined): string | undefined {
  return path === undefined ? undefined : posix.resolve(cwd, path);
}
