import { parse } from "yaml";
import { DriverError, parseGoDuration } from "../../base/index.ts";
import { isJsonObject, type JsonObject } from "../../oci/index.ts";

/** One of kubelet's credential provider plugins. */
export interface CredentialProvider {
  /** The program's name in the folder of the plugins. */
  readonly name: string;
  readonly matchImages: readonly string[];
  readonly defaultCacheMs: number;
  /** Of the requests and answers. */
  readonly apiVersion: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** It wants the token of a pod's service account, which the driver does not have. */
  readonly wantsToken: boolean;
}

const configVersions = ["v1", "v1beta1", "v1alpha1"].map((version) => `kubelet.config.k8s.io/${version}`);
const apiVersions = ["v1", "v1beta1", "v1alpha1"].map((version) => `credentialprovider.kubelet.k8s.io/${version}`);

/**
 * Reads the file of kubelet's `--image-credential-provider-config` (YAML or JSON), in its order. Throws "bad-input" that
 * names `source` and quotes no value: `env` may hold secrets. (kubelet.config.k8s.io/v1, CredentialProviderConfig)
 */
export function parseProviderConfig(text: string, source: string): CredentialProvider[] {
  const bad = (what: string) => new DriverError("bad-input", `${source} is no CredentialProviderConfig: ${what}`);
  let value: unknown;
  try {
    // Its warnings would go to the process's own, and quote lines that may be secret.
    value = parse(text, { logLevel: "error" });
  } catch {
    throw bad("it is neither YAML nor JSON");
  }
  if (!isJsonObject(value) || value["kind"] !== "CredentialProviderConfig") throw bad("its kind is another one");
  if (!configVersions.some((version) => version === value["apiVersion"]))
    throw bad(`its apiVersion is none of ${configVersions.join(", ")}`);
  const providers = value["providers"];
  if (!Array.isArray(providers)) throw bad("it has no list of providers");
  const names = new Set<string>();
  return providers.map((item: unknown, i) => {
    const provider = parseProvider(item, (what) => bad(`provider ${i + 1}: ${what}`));
    if (names.has(provider.name)) throw bad(`provider ${i + 1}: its name is taken`);
    names.add(provider.name);
    return provider;
  });
}

function parseProvider(item: unknown, bad: (what: string) => DriverError): CredentialProvider {
  if (!isJsonObject(item)) throw bad("it is no object");
  const { name, matchImages, defaultCacheDuration, apiVersion } = item;
  if (typeof name !== "string" || !/^[^/\s]+$/.test(name) || name === "." || name === "..")
    throw bad("its name is no file name");
  if (!isTexts(matchImages) || matchImages.length === 0) throw bad("matchImages must be a list of patterns");
  const defaultCacheMs = typeof defaultCacheDuration === "string" ? parseGoDuration(defaultCacheDuration) : undefined;
  if (defaultCacheMs === undefined || defaultCacheMs < 0) throw bad("defaultCacheDuration must be a duration like 12h");
  if (typeof apiVersion !== "string" || !apiVersions.includes(apiVersion))
    throw bad(`apiVersion must be one of ${apiVersions.join(", ")}`);
  const args = item["args"] ?? [];
  if (!isTexts(args)) throw bad("args must be a list of texts");
  const wantsToken = item["tokenAttributes"] !== undefined && item["tokenAttributes"] !== null;
  return { name, matchImages, defaultCacheMs, apiVersion, args, env: parseEnv(item, bad), wantsToken };
}

function parseEnv(item: JsonObject, bad: (what: string) => DriverError): Readonly<Record<string, string>> {
  const list = item["env"] ?? [];
  if (!Array.isArray(list)) throw bad("env must be a list of name and value");
  const pairs = list.map((one: unknown) => {
    const { name, value = "" } = isJsonObject(one) ? one : {};
    if (typeof name !== "string" || name === "" || typeof value !== "string")
      throw bad("env must be a list of name and value");
    return [name, value] as const;
  });
  return Object.fromEntries(pairs);
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}
