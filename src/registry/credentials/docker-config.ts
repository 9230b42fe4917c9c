import { DriverError } from "../../base/index.ts";
import { isJsonObject, type JsonObject } from "../../oci/index.ts";
import type { Credential, CredentialOwner } from "../credential.ts";
import type { GuestCredential } from "../hosts/registry-host.ts";
import { registryName } from "../hosts/registry-names.ts";
import type { DockerHelper } from "./docker-helper.ts";
import { matchesImagePattern } from "./image-pattern.ts";

/** Credentials by registry, as `docker login` and Kubernetes' secrets keep them. */
export interface DockerConfig {
  /**
   * The credential of the entry whose path is the longest prefix (at a `/`) of the repository. Throws "bad-input" if
   * that entry is malformed; entries of other registries are not looked at.
   */
  credentialFor(registry: string, repository: string): Credential | undefined;
  /** All entries that can be read and are for a whole host, for hosts that a registry redirects to. */
  logins(): readonly GuestCredential[];
  /** The helpers that may know more, in order: `credHelpers` by the longest prefix, then `credsStore`. */
  helpersFor(registry: string, repository: string): readonly DockerHelper[];
}

/** Whom an entry is for. */
interface Key {
  readonly host: string;
  /** Without slashes at its ends; empty: all repositories. */
  readonly path: string;
}

interface Entry extends Key {
  /** As the file has it, for messages. */
  readonly key: string;
  readonly value: JsonObject;
}

/**
 * Reads a config.json, or the older .dockercfg, whose entries are not wrapped in `auths`. `source` names it in messages,
 * which never quote it. Throws "bad-input". Credential helpers are not asked here.
 */
export function parseDockerConfig(text: string, source: string, owner: CredentialOwner = "node"): DockerConfig {
  const config = parseObject(text, source);
  const entries = entriesOf(config, source);
  const helpers = helpersOf(config);
  return {
    credentialFor(registry, repository) {
      for (const entry of matching(entries, registry, repository)) {
        const credential = credentialOf(entry, source, owner);
        if (credential !== undefined) return credential;
      }
      return undefined;
    },
    logins: () => entries.flatMap((entry) => loginOf(entry, source, owner)),
    helpersFor(registry, repository) {
      const server = serverName(registry);
      const own = matching(helpers, registry, repository).slice(0, 1);
      const names = [...own.map(({ name }) => name), ...storeOf(config)];
      return [...new Set(names)].map((name) => ({ name, server }));
    },
  };
}

/** The entries for a repository, longest path first. */
function matching<E extends Key>(entries: readonly E[], registry: string, repository: string): E[] {
  const host = registryName(registry);
  return entries
    .filter((entry) => matchesHost(entry.host, host) && isPathPrefix(entry.path, repository))
    .sort((a, b) => b.path.length - a.path.length);
}

/** Kubernetes lets keys be patterns: `*.example.com`. */
function matchesHost(wanted: string, host: string): boolean {
  return wanted === host || (/[*?]/.test(wanted) && matchesImagePattern(wanted, host));
}

function helpersOf(config: JsonObject): (Key & { readonly name: string })[] {
  const helpers = config["credHelpers"];
  if (!isJsonObject(helpers)) return [];
  return Object.entries(helpers).flatMap(([key, name]) =>
    typeof name === "string" && name !== "" ? [{ ...splitKey(key), name }] : [],
  );
}

function storeOf(config: JsonObject): string[] {
  const store = config["credsStore"];
  return typeof store === "string" && store !== "" ? [store] : [];
}

/** What docker calls a registry when it asks a helper. */
function serverName(registry: string): string {
  const name = registryName(registry);
  return name === "docker.io" ? "https://index.docker.io/v1/" : name;
}

function parseObject(text: string, source: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ""));
  } catch {
    // JSON.parse's own message quotes what it stumbled over.
    throw new DriverError("bad-input", `${source} is no docker config: it is not JSON`);
  }
  if (!isJsonObject(value))
    throw new DriverError("bad-input", `${source} is no docker config: it is not a JSON object`);
  return value;
}

function entriesOf(config: JsonObject, source: string): Entry[] {
  const auths = config["auths"] ?? {};
  if (!isJsonObject(auths))
    throw new DriverError("bad-input", `${source} is no docker config: its auths are no object`);
  const isWrapped = "auths" in config;
  return Object.entries(isWrapped ? auths : config).flatMap(([key, value]) =>
    isJsonObject(value) && (isWrapped || looksLikeEntry(value)) ? [{ key, value, ...splitKey(key) }] : [],
  );
}

/** Tells an entry of a .dockercfg from the other settings that a config.json may have. */
function looksLikeEntry(value: JsonObject): boolean {
  return ["auth", "username", "identitytoken"].some((name) => typeof value[name] === "string");
}

function splitKey(key: string): { host: string; path: string } {
  const [, scheme, rest = ""] = /^(?:(https?):\/\/)?(.*)$/is.exec(key.trim()) ?? [];
  const slash = rest.indexOf("/");
  const host = (slash < 0 ? rest : rest.slice(0, slash)).toLowerCase();
  // `https://index.docker.io/v1/`: the version of the API is no part of a repository's name.
  const path = (slash < 0 ? "" : rest.slice(slash)).replace(/^\/v[12](?=\/|$)/, "").replace(/^\/+|\/+$/g, "");
  const ownPort = scheme === undefined ? undefined : scheme.toLowerCase() === "https" ? ":443" : ":80";
  const bare = ownPort !== undefined && host.endsWith(ownPort) ? host.slice(0, -ownPort.length) : host;
  return { host: registryName(bare), path };
}

function isPathPrefix(path: string, repository: string): boolean {
  return path === "" || repository === path || repository.startsWith(`${path}/`);
}

function loginOf(entry: Entry, source: string, owner: CredentialOwner): GuestCredential[] {
  if (entry.path !== "") return [];
  try {
    const credential = credentialOf(entry, source, owner);
    return credential === undefined ? [] : [{ host: entry.host, credential }];
  } catch (error) {
    // Whoever needs this entry is told; nobody else is kept from theirs.
    if (error instanceof DriverError) return [];
    throw error;
  }
}

function credentialOf(entry: Entry, source: string, owner: CredentialOwner): Credential | undefined {
  const { auth, username, password, identitytoken } = entry.value;
  if (typeof identitytoken === "string" && identitytoken !== "") {
    return { kind: "identity-token", token: identitytoken, source, owner };
  }
  const pair =
    typeof auth === "string" && auth.trim() !== ""
      ? decodeAuth(auth, entry, source)
      : { username: textOf(username), password: textOf(password) };
  if (pair.username === "" && pair.password === "") return undefined;
  // Docker's convention for an identity token in a password's place.
  if (pair.username === "<token>") return { kind: "identity-token", token: pair.password, source, owner };
  return { kind: "password", ...pair, source, owner };
}

/** `base64(username:password)`, perhaps wrapped; a password may hold colons, and docker pads it with NULs. */
function decodeAuth(auth: string, { key }: Entry, source: string): { username: string; password: string } {
  const packed = auth.replace(/\s+/g, "");
  const text = Buffer.from(packed, "base64").toString("utf8");
  const colon = text.indexOf(":");
  if (!/^[A-Za-z0-9+/_-]*=*$/.test(packed) || colon < 0) {
    throw new DriverError(
      "bad-input",
      `${source}: the auth of ${JSON.stringify(key)} is not base64 of username:password`,
    );
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the padding is NULs
  return { username: text.slice(0, colon), password: text.slice(colon + 1).replace(/\x00+$/, "") };
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
