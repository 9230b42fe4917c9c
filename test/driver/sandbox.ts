import { rmSync } from "node:fs";
import { mkdtemp, readdir, realpath } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createConnectClient } from "./connect-client.ts";
import type { CsiClient } from "./csi-client.ts";
import { Driver, type Flavour } from "./driver.ts";
import { Kubelet } from "./kubelet.ts";
import { type MountRow, mountsBelow, unmountBelow } from "./mounts.ts";

/** What a sandbox's drivers are started with. */
export interface SandboxOptions {
  /** A data dir outside the sandbox's folder, on a disk of its own say; one in it when left out. */
  readonly dataDir?: string;
  readonly flavour?: Flavour | undefined;
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** How kubelet talks to the driver; Connect's client when left out. */
  readonly connect?: (socketPath: string) => CsiClient;
}

/** A folder with everything that one test needs: a data dir, a socket, kubelet's folder. Disposing takes all of it away. */
export class Sandbox implements AsyncDisposable {
  readonly folder: string;
  readonly dataDir: string;
  readonly socketPath: string;
  readonly kubeletFolder: string;
  readonly kubelet: Kubelet;
  readonly #options: SandboxOptions;
  readonly #drivers: Driver[] = [];

  private constructor(folder: string, options: SandboxOptions) {
    this.folder = folder;
    this.dataDir = options.dataDir ?? join(folder, "data");
    this.socketPath = join(folder, "csi.sock");
    this.kubeletFolder = join(folder, "kubelet");
    this.#options = options;
    const connect = options.connect ?? createConnectClient;
    this.kubelet = new Kubelet(this.kubeletFolder, () => connect(this.socketPath));
  }

  /** Makes the folder; no driver runs yet. */
  static async create(options: SandboxOptions = {}): Promise<Sandbox> {
    const folder = await realpath(await mkdtemp(join(tmpdir(), "oras-csi-test-")));
    return new Sandbox(folder, options);
  }

  /** Makes the folder and starts a driver in it. */
  static async start(options: SandboxOptions = {}): Promise<Sandbox & { readonly driver: Driver }> {
    const sandbox = await Sandbox.create(options);
    try {
      const driver = await sandbox.startDriver();
      return Object.assign(sandbox, { driver });
    } catch (reason) {
      await sandbox[Symbol.asyncDispose]();
      throw reason;
    }
  }

  /** Starts a driver (another one, after the first was stopped) on the sandbox's socket and data dir. */
  async startDriver(flags: readonly string[] = this.#options.flags ?? []): Promise<Driver> {
    const driver = this.launchDriver({ flags });
    await driver.ready();
    return driver;
  }

  /** Starts a driver without waiting for it. */
  launchDriver(
    other: { flags?: readonly string[]; dataDir?: string; socketPath?: string; prefix?: readonly string[] } = {},
  ): Driver {
    const driver = Driver.launch({
      socketPath: other.socketPath ?? this.socketPath,
      dataDir: other.dataDir ?? this.dataDir,
      flavour: this.#options.flavour,
      flags: other.flags ?? this.#options.flags,
      env: this.#options.env,
      prefix: other.prefix,
    });
    this.#drivers.push(driver);
    return driver;
  }

  /** What is mounted in the sandbox. */
  mounts(): MountRow[] {
    return mountsBelow(this.folder);
  }

  /** The names in a folder of the data dir; none when there is no such folder. */
  async dataNames(path: string): Promise<string[]> {
    try {
      return (await readdir(join(this.dataDir, path))).sort();
    } catch (reason) {
      if ((reason as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw reason;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const driver of this.#drivers) await driver.stop("SIGKILL");
    unmountBelow(this.folder);
    // The asynchronous rm cannot delete paths longer than PATH_MAX.
    rmSync(this.folder, { recursive: true, force: true });
  }
}
