import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Worker } from "node:worker_threads";
import packageJson from "../../package.json" with { type: "json" };
import { DriverError, describeError, errnoOf } from "./errors.ts";
import { makeFolders } from "./make-folders.ts";

// The one place where the single executable, Node and Deno differ.

/** Set by scripts/build.ts in what it bundles; there is no such thing when the sources run unbuilt. */
declare const ORAS_CSI_COMMIT: string | undefined;

/** The worker threads of the driver. Each is a bundle of its own in the executable: the asset `<name>.cjs`. */
export type WorkerName = "pull-worker" | "unpack-worker" | "verify-worker";

/** What this program is and what it runs on. */
export interface BuildInfo {
  readonly version: string;
  /** The git commit that the executable was built from; "source" where the sources run unbuilt. */
  readonly commit: string;
  /** The version of Node whose API is there, without the "v". Deno says which Node it is like. */
  readonly nodeVersion: string;
  readonly runtime: "executable" | "node" | "deno";
}

/** Version, commit and runtime of the running program. */
export function buildInfo(): BuildInfo {
  const runtime = executableAssets() !== undefined ? "executable" : "deno" in process.versions ? "deno" : "node";
  return {
    version: packageJson.version,
    commit: typeof ORAS_CSI_COMMIT === "string" ? ORAS_CSI_COMMIT : "source",
    nodeVersion: process.versions.node,
    runtime,
  };
}

/** The environment of a program that the driver starts: its own, and what is added. */
export function childEnvironment(added: Readonly<Record<string, string>>): Record<string, string | undefined> {
  return { ...process.env, ...added };
}

/** The variables that say through which proxies to go: HTTPS_PROXY, HTTP_PROXY, NO_PROXY, in either case. */
export function proxyVariables(): Readonly<Record<string, string | undefined>> {
  const names = ["HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"].flatMap((name) => [name, name.toLowerCase()]);
  return Object.fromEntries(names.map((name) => [name, process.env[name]]));
}

/** Ends a program that was started with a group of its own, and all that it started; nothing happens if it is gone. */
export function killProcessGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if (errnoOf(error) !== "ESRCH") throw error;
  }
}

/**
 * Starts a worker thread. `source` is its TypeScript file as seen from the caller (`new URL("./x.ts", import.meta.url)`),
 * which the executable does not look at: it takes the bundle that travels under `name`.
 */
export function startWorker(name: WorkerName, source: URL, workerData: unknown): Worker {
  const assets = executableAssets();
  if (assets === undefined) return new Worker(source, { name, workerData });
  return new Worker(assets.getAsset(`${name}.cjs`, "utf8"), { eval: true, name, workerData });
}

/**
 * The FFI library. In the executable its native part is loaded from memory; where the system forbids that, from a
 * file below `fallbackFolder` (made if missing), else below the system's folder for temporary files: one of them may
 * be mounted noexec. The file is gone when this returns.
 *
 * Throws `DriverError` "internal" when nothing worked.
 */
export async function loadKoffi(fallbackFolder: string): Promise<typeof import("koffi")> {
  const assets = executableAssets();
  if (assets === undefined) {
    // A name that is no literal, so that the bundle does not hold koffi's search for its native part.
    const name: string = "koffi";
    return await import(name);
  }
  const library = Buffer.from(assets.getRawAsset("koffi.node"));
  const attempts = [
    () => loadFromMemory(library),
    () => loadFromFile(library, fallbackFolder),
    () => loadFromFile(library, tmpdir()),
  ];
  const failures: string[] = [];
  for (const attempt of attempts) {
    try {
      const native = await attempt();
      return Object.assign({ default: native }, native) as typeof import("koffi");
    } catch (error) {
      failures.push(describeError(error));
    }
  }
  throw new DriverError("internal", `cannot load the FFI library for system calls: ${failures.join("; then ")}`);
}

/** node:sea if this is the executable. Deno has no such module, and Node no such build. */
function executableAssets(): typeof import("node:sea") | undefined {
  const sea = process.getBuiltinModule("node:sea");
  return sea?.isSea() ? sea : undefined;
}

/** The part of node:vfs that @types/node does not know yet. */
interface MountableFiles {
  readonly mountPoint: string;
  mount(): void;
  unmount(): void;
}

/** node:vfs hands the bytes to the dynamic loader through a memfd: no folder, so no noexec mount, is in the way. */
function loadFromMemory(library: Buffer): typeof import("koffi") {
  const vfs = process.getBuiltinModule("node:vfs");
  if (vfs === undefined) throw new Error("this Node has no node:vfs");
  const files = vfs.create(new vfs.MemoryProvider());
  files.writeFileSync("/koffi.node", library);
  const mountable = files as typeof files & MountableFiles;
  mountable.mount();
  try {
    return openAddon(join(mountable.mountPoint, "koffi.node"));
  } finally {
    mountable.unmount();
  }
}

async function loadFromFile(library: Buffer, parent: string): Promise<typeof import("koffi")> {
  await makeFolders(parent, 0o700);
  const folder = mkdtempSync(join(parent, "koffi-"));
  try {
    const path = join(folder, "koffi.node");
    writeFileSync(path, library, { mode: 0o500, flag: "wx" });
    return openAddon(path);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function openAddon(path: string): typeof import("koffi") {
  const holder = { exports: {} };
  process.dlopen(holder, path);
  return holder.exports as typeof import("koffi");
}
