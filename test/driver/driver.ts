import { type ChildProcess, spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { createConnectClient } from "./connect-client.ts";
import type { CsiClient } from "./csi-client.ts";

/** The ways in which the driver runs. */
export type Flavour = "executable" | "node" | "tsx" | "deno";

/** What is started, and where it works. */
export interface DriverOptions {
  readonly socketPath: string;
  readonly dataDir: string;
  /** The flavour that `ORAS_CSI_TEST_FLAVOUR` names when left out, else the built executable. */
  readonly flavour?: Flavour | undefined;
  /** Another file than the built one, for the flavour "executable". */
  readonly executable?: string | undefined;
  /** Flags beside socket, data dir, node id and log level. */
  readonly flags?: readonly string[] | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** A command that becomes the driver, as `unshare --mount` does. */
  readonly prefix?: readonly string[] | undefined;
}

/** How a driver ended. */
export interface DriverExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const ROOT = join(import.meta.dirname, "../..");
const READY_DEADLINE_MS = 60_000;
const PROBE_EVERY_MS = 10;

/** The file that `npm run build` makes for this machine. */
export const EXECUTABLE = join(ROOT, "dist/oras-csi");

/** Why a flavour cannot be started here, for a test's `skip`; false when it can. */
export function whyNoFlavour(flavour: Flavour = defaultFlavour()): string | false {
  if (flavour === "executable" && !existsSync(EXECUTABLE)) return "dist/oras-csi is not built (npm run build)";
  if (flavour === "deno" && !existsSync(join(ROOT, "node_modules/deno/deno"))) return "deno is not installed";
  return false;
}

/** A driver process that a test started. */
export class Driver implements AsyncDisposable {
  readonly socketPath: string;
  /** Resolves when the process is gone. */
  readonly exited: Promise<DriverExit>;
  readonly #child: ChildProcess;
  readonly #printed = new EventEmitter();
  #output = "";

  private constructor(options: DriverOptions) {
    const [command = "", ...first] = [...(options.prefix ?? []), ...commandLine(options)];
    const flags = [
      "serve",
      `--csi-endpoint=unix://${options.socketPath}`,
      `--data-dir=${options.dataDir}`,
      "--node-id=test-node",
      "--log-level=debug",
      ...(options.flags ?? []),
    ];
    this.socketPath = options.socketPath;
    this.#child = spawn(command, [...first, ...flags], {
      cwd: ROOT,
      env: { ...process.env, NODE_OPTIONS: "", ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.#output += text;
        this.#printed.emit("text");
      });
    }
    // A test process that ends early must not leave a driver behind.
    const killAtExit = () => this.#child.kill("SIGKILL");
    process.once("exit", killAtExit);
    this.#child.once("close", () => process.off("exit", killAtExit));
    this.exited = new Promise((resolve, reject) => {
      this.#child.once("error", reject);
      this.#child.once("close", (code, signal) => resolve({ code, signal }));
    });
  }

  /** Starts a driver without waiting until it answers: for those that are to refuse. */
  static launch(options: DriverOptions): Driver {
    return new Driver(options);
  }

  /** Starts a driver and waits until Probe says that it is ready. */
  static async start(options: DriverOptions): Promise<Driver> {
    const driver = new Driver(options);
    try {
      await driver.ready();
      return driver;
    } catch (reason) {
      await driver.stop("SIGKILL");
      throw reason;
    }
  }

  /** The process, as long as it runs. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** All that it has printed so far. */
  get output(): string {
    return this.#output;
  }

  /** Waits until it has printed what matches: a line may come after the answer that it is about. */
  async said(pattern: RegExp): Promise<void> {
    const ended = this.exited.then(({ code, signal }) => {
      if (!pattern.test(this.#output)) throw new Error(`the driver ended with ${code ?? signal}:\n${this.#output}`);
    });
    while (!pattern.test(this.#output)) await Promise.race([once(this.#printed, "text"), ended]);
  }

  /** A connection of its own; close it, or bind it with `using`. */
  connect(): CsiClient {
    return createConnectClient(this.socketPath);
  }

  /** Asks Probe until it answers "ready". */
  async ready(): Promise<void> {
    const deadline = performance.now() + READY_DEADLINE_MS;
    let ended: DriverExit | undefined;
    this.exited.then(
      (exit) => {
        ended = exit;
      },
      () => undefined,
    );
    let last = "";
    while (performance.now() < deadline) {
      if (ended !== undefined) throw new Error(`the driver ended with ${ended.code ?? ended.signal}:\n${this.#output}`);
      using client = this.connect();
      try {
        if ((await client.probe({ timeoutMs: 5_000 })).ready) return;
        last = "not ready";
      } catch (reason) {
        last = String(reason);
      }
      await delay(PROBE_EVERY_MS);
    }
    throw new Error(`the driver was not ready within ${READY_DEADLINE_MS} ms (${last}):\n${this.#output}`);
  }

  /** Ends it, waits until it is gone, and says how it went. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<DriverExit> {
    this.#child.kill(signal);
    return this.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop("SIGKILL");
  }
}

function defaultFlavour(): Flavour {
  const named = process.env.ORAS_CSI_TEST_FLAVOUR;
  return named === "node" || named === "tsx" || named === "deno" ? named : "executable";
}

/** What starts the program in a flavour. One process each: a signal must reach the driver itself and no wrapper. */
export function commandLine({
  flavour = defaultFlavour(),
  executable = EXECUTABLE,
}: Pick<DriverOptions, "flavour" | "executable">): [string, ...string[]] {
  const main = join(ROOT, "src/main.ts");
  const node = join(ROOT, "node_modules/.bin/node");
  if (flavour === "executable") return [executable];
  if (flavour === "tsx") return [node, "--import", "tsx", main];
  if (flavour === "deno") return [join(ROOT, "node_modules/deno/deno"), "run", "-A", main];
  return [node, main];
}
