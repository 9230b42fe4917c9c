import { createHash, createPrivateKey, X509Certificate } from "node:crypto";
import { promises as fs } from "node:fs";
import { posix } from "node:path";
import { DriverError, describeError, errnoOf, FileValue, type Logger } from "../../base/index.ts";
import { parseCaCertificates } from "../ca-certificates.ts";
import type { TlsSettings } from "../http/tls-settings.ts";
import { certificateFilesIn } from "./certificate-files.ts";
import { type HostEntry, parseHostsFile } from "./hosts-file.ts";
import { isHostOfRegistry } from "./registry-names.ts";
import type { RegistryHost } from "./registry-host.ts";

/**
 * The hosts of registries as the files below one folder say, in containerd's form (`--registry-hosts-dir`). Files are
 * looked at again each time.
 */
export class RegistryHosts {
  readonly #folder: string;
  readonly #log: Logger;
  readonly #hostsFiles = new Map<string, FileValue<HostEntry[]>>();
  readonly #certificates = new Map<string, FileValue<string>>();
  /** By file: what the last warning about it said. */
  readonly #warned = new Map<string, string>();

  constructor(options: { readonly folder: string; readonly log: Logger }) {
    this.#folder = options.folder;
    this.#log = options.log;
  }

  /** Where a registry's repositories are asked, in order; never empty. Without files of its own: the registry itself. */
  async hostsOf(registry: string): Promise<readonly RegistryHost[]> {
    const folder = await this.#folderOf(registry);
    const entries = folder === undefined ? undefined : await this.#entriesIn(folder);
    return await Promise.all((entries ?? [plainEntry]).map((entry) => this.#hostFrom(entry, registry)));
  }

  /** `host_port_`, else `host:port`, else `_default`: the first that is there decides. */
  async #folderOf(registry: string): Promise<string | undefined> {
    const names = new Set([registry.replace(/:(\d+)$/, "_$1_"), registry, "_default"]);
    const paths = [...names].map((name) => posix.join(this.#folder, name));
    const areFolders = await Promise.all(paths.map((path) => this.#isFolder(path)));
    return paths.find((_, i) => areFolders[i]);
  }

  async #isFolder(path: string): Promise<boolean> {
    try {
      return (await fs.stat(path)).isDirectory();
    } catch (error) {
      if (!isMissing(error)) this.#warnOnce(path, describeError(error));
      return false;
    }
  }

  async #entriesIn(folder: string): Promise<readonly HostEntry[]> {
    const path = posix.join(folder, "hosts.toml");
    try {
      const { size } = await fs.stat(path);
      if (size > 0 || this.#hostsFiles.has(path)) return await this.#hostsFile(path, folder).get();
    } catch (error) {
      // What was wrong once and never right is as good as not there (containerd does the same).
      if (!isMissing(error)) this.#warnOnce(path, describeError(error));
    }
    this.#hostsFiles.delete(path);
    const { caFiles, clientFiles } = await certificateFilesIn(folder);
    return [{ ...plainEntry, caFiles, clientFiles }];
  }

  #hostsFile(path: string, folder: string): FileValue<HostEntry[]> {
    const known = this.#hostsFiles.get(path);
    if (known !== undefined) return known;
    const parse = (text: string) => {
      // One that was filled before is just being written.
      if (text === "") throw new DriverError("bad-input", `${path} is empty`);
      return parseHostsFile(text, path, folder);
    };
    const file = new FileValue({ path, parse, log: this.#log });
    this.#hostsFiles.set(path, file);
    return file;
  }

  async #hostFrom(entry: HostEntry, registry: string): Promise<RegistryHost> {
    const { root, capabilities, headers, connectTimeoutMs } = entry;
    const kind = root === undefined || isHostOfRegistry(root, registry) ? "origin" : "mirror";
    const trust = root?.scheme === "http" || !entry.skipVerify ? undefined : "unverified";
    const host = { kind, root, capabilities, trust, headers, connectTimeoutMs } as const;
    try {
      return { ...host, tls: await this.#tlsOf(entry), problem: undefined };
    } catch (error) {
      return { ...host, tls: undefined, problem: describeError(error) };
    }
  }

  async #tlsOf({ caFiles, clientFiles }: HostEntry): Promise<TlsSettings | undefined> {
    if (caFiles.length === 0 && clientFiles.length === 0) return undefined;
    const caCertificates: string[] = [];
    for (const path of caFiles) caCertificates.push(...parseCaCertificates(await this.#read(path, "roots"), path));
    const clientCertificates: TlsSettings["clientCertificates"][number][] = [];
    for (const { certificate, key = certificate } of clientFiles) {
      const pair = { certificate: await this.#read(certificate, "certificate"), key: await this.#read(key, "key") };
      clientCertificates.push(pair);
    }
    const id = createHash("sha256")
      .update(JSON.stringify([caCertificates, clientCertificates]))
      .digest("base64");
    return { id, caCertificates, clientCertificates };
  }

  #read(path: string, what: keyof typeof checks): Promise<string> {
    const key = `${what} ${path}`;
    const parse = (text: string) => {
      checks[what](text, path);
      return text;
    };
    const file = this.#certificates.get(key) ?? new FileValue({ path, parse, log: this.#log });
    this.#certificates.set(key, file);
    return file.get();
  }

  #warnOnce(path: string, reason: string): void {
    if (this.#warned.get(path) === reason) return;
    this.#warned.set(path, reason);
    this.#log.warn("a file that says where registries are cannot be used: the registry itself is asked", {
      path,
      reason,
    });
  }
}

const plainEntry: HostEntry = {
  root: undefined,
  capabilities: ["pull", "resolve"],
  caFiles: [],
  clientFiles: [],
  skipVerify: false,
  headers: {},
  connectTimeoutMs: undefined,
};

function isMissing(error: unknown): boolean {
  return ["ENOENT", "ENOTDIR"].includes(errnoOf(error) ?? "");
}

/** Throw "bad-input" for what TLS could not use; the messages must not quote a key. */
const checks = {
  roots: (text: string, path: string): void => void parseCaCertificates(text, path),
  certificate(text: string, path: string): void {
    try {
      new X509Certificate(text);
    } catch {
      throw new DriverError("bad-input", `${path} holds no certificate in PEM form`);
    }
  },
  key(text: string, path: string): void {
    try {
      createPrivateKey(text);
    } catch {
      throw new DriverError(
        "bad-input",
        `${path} holds no private key in PEM form that can be read without a password`,
      );
    }
  },
};
