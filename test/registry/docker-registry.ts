import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Certificates } from "./certificates.ts";

/** How Debian's registry is started. */
export interface DockerRegistryOptions {
  /** Ask for the one user that is known, `DOCKER_REGISTRY_USER`. */
  readonly basicAuth?: boolean;
  readonly tls?: Certificates;
  /** A pull-through cache in front of the registry at this URL. */
  readonly proxyOf?: string;
}

/** The user that a registry with `basicAuth` lets in. */
export const DOCKER_REGISTRY_USER = { username: "robot", password: "open-sesame" };

const USER_FILE = "robot:$2y$05$abcdefghijklmnopqrstuutXu9KzOt.1yBoZUeFWoT/914/JfszCO\n";
const START_DEADLINE_MS = 60_000;

/** Debian's `docker-registry`, on a free loopback port, with a folder of its own. */
export class DockerRegistry implements AsyncDisposable {
  /** `127.0.0.1:<port>`: the registry part of references. */
  readonly host: string;
  readonly url: string;
  readonly #child: ChildProcess;
  readonly #folder: string;

  private constructor(child: ChildProcess, folder: string, host: string, scheme: string) {
    this.#child = child;
    this.#folder = folder;
    this.host = host;
    this.url = `${scheme}://${host}`;
  }

  /** Why it cannot be started here, or undefined when it can. */
  static whyNot(): string | undefined {
    const found = spawnSync("docker-registry", ["--version"], { stdio: "ignore" });
    return found.error === undefined ? undefined : "Debian's docker-registry is not installed";
  }

  /** Starts it; answers once it listens. */
  static async start(options: DockerRegistryOptions = {}): Promise<DockerRegistry> {
    const folder = await mkdtemp(join(tmpdir(), "oras-csi-registry-"));
    try {
      await writeConfig(folder, options);
      const child = spawn("docker-registry", ["serve", join(folder, "config.yml")], {
        stdio: ["ignore", "ignore", "pipe"],
        env: { ...process.env, OTEL_TRACES_EXPORTER: "none" },
      });
      const host = await listeningAddress(child);
      return new DockerRegistry(child, folder, host, options.tls === undefined ? "http" : "https");
    } catch (reason) {
      await rm(folder, { recursive: true, force: true });
      throw reason;
    }
  }

  /** Stops it and deletes what it held. */
  async close(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const gone = new Promise((resolve) => this.#child.once("exit", resolve));
      this.#child.kill("SIGKILL");
      await gone;
    }
    await rm(this.#folder, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

async function writeConfig(folder: string, options: DockerRegistryOptions): Promise<void> {
  const http: Record<string, unknown> = { addr: "127.0.0.1:0" };
  if (options.tls !== undefined) {
    await writeFile(join(folder, "cert.pem"), options.tls.cert);
    await writeFile(join(folder, "key.pem"), options.tls.key);
    http.tls = { certificate: join(folder, "cert.pem"), key: join(folder, "key.pem") };
  }
  await writeFile(join(folder, "users"), USER_FILE);
  const auth = { htpasswd: { realm: "docker-registry", path: join(folder, "users") } };
  const config = {
    version: 0.1,
    log: { level: "info" },
    storage: { filesystem: { rootdirectory: join(folder, "storage") }, delete: { enabled: true } },
    http,
    ...(options.basicAuth ? { auth } : {}),
    ...(options.proxyOf === undefined ? {} : { proxy: { remoteurl: options.proxyOf } }),
  };
  await writeFile(join(folder, "config.yml"), JSON.stringify(config));
}

/** The address in the line that says that it listens; everything it says later is read and dropped. */
function listeningAddress(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = "";
    const fail = (why: string) => {
      clearTimeout(timer);
      child.kill("SIGKILL");
      reject(new Error(`docker-registry ${why}: ${said.slice(-2000)}`));
    };
    const timer = setTimeout(() => fail("did not listen in time"), START_DEADLINE_MS);
    child.once("error", (reason) => fail(reason.message));
    child.once("exit", (code) => fail(`ended with ${code}`));
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(-8000);
      const [, address] = /listening on (127\.0\.0\.1:\d+)/.exec(said) ?? [];
      if (address === undefined) return;
      clearTimeout(timer);
      resolve(address);
    });
  });
}
