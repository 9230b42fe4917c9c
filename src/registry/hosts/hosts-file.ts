import { posix } from "node:path";
import { parse } from "smol-toml";
import { DriverError, describeError, parseGoDuration } from "../../base/index.ts";
import { parseTarget, type Target } from "../http/target.ts";

import type { HostCapability } from "./registry-host.ts";

/** One table of a hosts.toml. Paths are absolute. */
export interface HostEntry {
  /** Where its API is; undefined for the root table of a file that names no `server`. */
  readonly root: Target | undefined;
  readonly capabilities: readonly HostCapability[];
  readonly caFiles: readonly string[];
  /** A pair without a key has both in one file. */
  readonly clientFiles: readonly { readonly certificate: string; readonly key: string | undefined }[];
  readonly skipVerify: boolean;
  readonly headers: Readonly<Record<string, string>>;
  readonly connectTimeoutMs: number | undefined;
}

type Table = Readonly<Record<string, unknown>>;

const everything: readonly HostCapability[] = ["pull", "resolve"];

/**
 * Reads a hosts.toml: the hosts in the order they are tried, `server` (or what stands for it) last. `folder` is where
 * relative paths start from. Throws "bad-input" that names `source` and quotes no value, as headers may be secret.
 * (containerd 2.4, docs/hosts.md)
 */
export function parseHostsFile(text: string, source: string, folder: string): HostEntry[] {
  const file = parseToml(text, source);
  const reader = new EntryReader(source, folder);
  const { server } = file;
  if (server !== undefined && typeof server !== "string") throw reader.bad("server", "a URL");
  const tables = reader.table(file["host"] ?? {}, "host");
  const hosts = Object.entries(tables).map(([url, table], i) => {
    const name = `host ${i + 1}`;
    return reader.entry(reader.table(table, name), { url, name });
  });
  const last = reader.entry(file, { url: server === "" ? undefined : server, name: "server" });
  // containerd takes what a registry without `server` can do for granted.
  return [...hosts, last.root === undefined ? { ...last, capabilities: everything } : last];
}

function parseToml(text: string, source: string): Table {
  try {
    return parse(text);
  } catch (error) {
    // The parser's text quotes the lines around the fault: only its first line, which does not, is shown.
    const [reason = ""] = describeError(error).split("\n");
    throw new DriverError("bad-input", `${source} is no TOML: ${reason}`);
  }
}

class EntryReader {
  readonly #source: string;
  readonly #folder: string;

  constructor(source: string, folder: string) {
    this.#source = source;
    this.#folder = folder;
  }

  bad(key: string, expected: string): DriverError {
    return new DriverError("bad-input", `${this.#source}: ${key} must be ${expected}`);
  }

  table(value: unknown, key: string): Table {
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw this.bad(key, "a table");
    return value as Table;
  }

  /** `name` is for messages: a URL that is none may be a broken one with a password in it. */
  entry(table: Table, { url, name }: { readonly url: string | undefined; readonly name: string }): HostEntry {
    const skipVerify = table["skip_verify"] ?? false;
    if (typeof skipVerify !== "boolean") throw this.bad("skip_verify", "true or false");
    return {
      root: url === undefined ? undefined : this.#root({ url, name }, table["override_path"] ?? false),
      capabilities: this.#capabilities(table["capabilities"] ?? []),
      caFiles: this.#texts(table["ca"] ?? [], "ca").map((path) => this.#absolute(path)),
      clientFiles: this.#clientFiles(table["client"] ?? []),
      skipVerify,
      headers: this.#headers(table["header"] ?? {}),
      connectTimeoutMs: this.#duration(table["dial_timeout"]),
    };
  }

  #root({ url, name }: { readonly url: string; readonly name: string }, overridesPath: unknown): Target {
    if (typeof overridesPath !== "boolean") throw this.bad("override_path", "true or false");
    const target = parseTarget(/^[a-z][a-z0-9+.-]*:\/\//i.test(url) ? url : `https://${url}`);
    if (target === undefined || /[?#]/.test(url)) throw this.bad(name, "an http or https URL");
    const path = target.path.replace(/\/+$/, "");
    return { ...target, path: overridesPath || path.endsWith("/v2") ? path : `${path}/v2` };
  }

  #capabilities(value: unknown): readonly HostCapability[] {
    const words = this.#texts(value, "capabilities").map((word) => word.toLowerCase());
    const unknown = words.find((word) => !["pull", "resolve", "push", "referrers"].includes(word));
    if (unknown !== undefined) throw this.bad("capabilities", "some of pull, resolve, push and referrers");
    return words.length === 0 ? everything : everything.filter((capability) => words.includes(capability));
  }

  #clientFiles(value: unknown): HostEntry["clientFiles"] {
    const items = Array.isArray(value) ? (value as unknown[]) : [value];
    return items.map((item) => {
      const paths = this.#texts(item, "client").map((path) => (path === "" ? undefined : this.#absolute(path)));
      const [certificate, key] = paths;
      const isPair = Array.isArray(item) ? paths.length === 2 : paths.length === 1;
      if (certificate === undefined || !isPair)
        throw this.bad("client", "a file, files, or pairs of certificate and key");
      return { certificate, key };
    });
  }

  #headers(value: unknown): Readonly<Record<string, string>> {
    const entries = Object.entries(this.table(value, "header")).map(([name, given]) => {
      const text = this.#texts(given, `header ${JSON.stringify(name)}`).join(", ");
      // Both would break out of their line.
      if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name) || /[\r\n\0]/.test(text))
        throw this.bad("header", "names and values of HTTP headers");
      return [name, text] as const;
    });
    return Object.fromEntries(entries);
  }

  #duration(value: unknown): number | undefined {
    if (value === undefined || value === "") return undefined;
    const durationMs = typeof value === "string" ? parseGoDuration(value) : undefined;
    if (durationMs === undefined || durationMs <= 0) throw this.bad("dial_timeout", "a duration like 200ms or 5s");
    return durationMs;
  }

  #texts(value: unknown, key: string): string[] {
    const items = Array.isArray(value) ? (value as unknown[]) : [value];
    return items.map((item) => {
      if (typeof item !== "string") throw this.bad(key, "a text or a list of texts");
      return item;
    });
  }

  #absolute(path: string): string {
    return posix.resolve(this.#folder, path);
  }
}
