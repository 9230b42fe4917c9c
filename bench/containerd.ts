import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

/** Where a containerd keeps its content, and where its programs are. */
export interface ContainerdOptions {
  /** Made if it is missing. */
  readonly root: string;
  /** The folder with `containerd` and `ctr`; PATH when left out. */
  readonly programs?: string | undefined;
}

const START_DEADLINE_MS = 20_000;
const LOOK_EVERY_MS = 20;

/** A containerd of its own, with the overlayfs snapshotter and no CRI. Disposing ends it and leaves its root. */
export class Containerd implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #state: string;
  readonly #programs: string | undefined;
  #printed = "";

  private constructor({ root, programs }: ContainerdOptions) {
    this.#programs = programs;
    this.#state = mkdtempSync(join(tmpdir(), "oras-csi-containerd-"));
    mkdirSync(root, { recursive: true });
    const config = join(this.#state, "config.toml");
    writeFileSync(
      config,
      `version = 3
root = "${root}"
state = "${this.#state}"
disabled_plugins = ["io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri"]
[grpc]
  address = "${this.#address}"
`,
    );
    this.#child = spawn(this.#program("containerd"), ["--config", config], { stdio: ["ignore", "ignore", "pipe"] });
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#printed = (this.#printed + text).slice(-4000);
    });
  }

  /** Starts it and waits until it answers. */
  static async start(options: ContainerdOptions): Promise<Containerd> {
    const containerd = new Containerd(options);
    try {
      await containerd.#answering();
      return containerd;
    } catch (reason) {
      await containerd[Symbol.asyncDispose]();
      throw reason;
    }
  }

  /** A command line of ctr that talks to this containerd. */
  ctr(...args: readonly string[]): readonly string[] {
    return [this.#program("ctr"), "--address", this.#address, ...args];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.pid !== undefined) {
      const closed = once(this.#child, "close");
      this.#child.kill("SIGTERM");
      await closed;
    }
    rmSync(this.#state, { recursive: true, force: true });
  }

  get #address(): string {
    return join(this.#state, "containerd.sock");
  }

  #program(name: string): string {
    return this.#programs === undefined ? name : join(this.#programs, name);
  }

  async #answering(): Promise<void> {
    let failure: unknown;
    this.#child.once("error", (error) => {
      failure = error;
    });
    for (const startedMs = performance.now(); performance.now() - startedMs < START_DEADLINE_MS; ) {
      if (failure !== undefined) throw failure;
      if (this.#child.exitCode !== null) break;
      if (existsSync(this.#address)) return;
      await delay(LOOK_EVERY_MS);
    }
    throw new Error(`containerd did not start:\n${this.#printed}`);
  }
}
