import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { runTool } from "./run-tool.ts";

export type Architecture = "x64" | "arm64";

const root = join(import.meta.dirname, "../..");
/** What a build may keep for the next one. `npm ci` empties it. */
export const cacheFolder = join(root, "node_modules/.cache/oras-csi");

interface LockedPackage {
  readonly version: string;
  readonly integrity: string;
}

/** The files that an executable for one architecture is made of. */
export interface PlatformFiles {
  readonly node: string;
  readonly nodeVersion: string;
  readonly koffi: string;
}

/** Finds Node and koffi's native part for an architecture: installed ones for the machine's own, else fetched ones. */
export async function findPlatformFiles(architecture: Architecture): Promise<PlatformFiles> {
  const nodePackage = await findPackage(`node-linux-${architecture}`);
  const koffiPackage = await findPackage(`@koromix/koffi-linux-${architecture}`);
  return {
    node: join(nodePackage.folder, "bin/node"),
    nodeVersion: nodePackage.version,
    koffi: join(koffiPackage.folder, `linux_${architecture}/koffi.node`),
  };
}

/** npm installs packages for the machine's own architecture only; others are fetched and checked against the lock file. */
async function findPackage(name: string): Promise<{ folder: string; version: string }> {
  const locked = lockedPackage(name);
  const installed = join(root, "node_modules", name);
  if (existsSync(installed)) return { folder: installed, version: locked.version };
  const folder = join(cacheFolder, `${name.replace("/", "-")}-${locked.version}`);
  if (!existsSync(folder)) await fetchPackage(name, locked, folder);
  return { folder, version: locked.version };
}

function lockedPackage(name: string): LockedPackage {
  const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"));
  const entry = lock.packages[`node_modules/${name}`];
  if (entry === undefined) throw new Error(`package-lock.json does not name ${name}`);
  return entry;
}

async function fetchPackage(name: string, { version, integrity }: LockedPackage, folder: string): Promise<void> {
  const download = `${folder}.download`;
  rmSync(download, { recursive: true, force: true });
  mkdirSync(download, { recursive: true });
  const printed = await runTool("npm", ["pack", `${name}@${version}`, "--pack-destination", download, "--silent"]);
  const archive = join(download, printed.trim());
  const [algorithm = "", expected] = integrity.split(/-(.*)/s);
  const actual = createHash(algorithm).update(readFileSync(archive)).digest("base64");
  if (actual !== expected) {
    throw new Error(
      `${name}@${version} is not what package-lock.json pins: ${algorithm} ${actual} instead of ${expected}`,
    );
  }
  await runTool("tar", ["-xzf", archive, "-C", download]);
  rmSync(archive);
  // A folder under the final name is complete.
  renameSync(join(download, "package"), folder);
  rmSync(download, { recursive: true });
}
