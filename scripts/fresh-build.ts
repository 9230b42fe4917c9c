import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { EXECUTABLE } from "../test/driver/index.ts";

const ROOT = join(import.meta.dirname, "..");

/** What the executable is made of: folders whole, files by themselves. */
const SOURCES = ["src", "gen", "package.json", "package-lock.json", "scripts/build.ts", "scripts/build"];

/** Builds dist/oras-csi if it is missing or older than its sources. Says what it does; throws when the build fails. */
export function ensureFreshBuild(say: (line: string) => void): void {
  if (existsSync(EXECUTABLE) && statSync(EXECUTABLE).mtimeMs >= newestMtimeMs()) {
    say("dist/oras-csi is up to date");
    return;
  }
  say("building dist/oras-csi ...");
  const startedAt = new Date();
  const built = spawnSync(process.execPath, [join(ROOT, "scripts/build.ts"), "own"], { cwd: ROOT, encoding: "utf8" });
  if (built.status !== 0) throw new Error(`the build failed:\n${built.stdout}${built.stderr}`);
  // As old as what it was made of: a source that changed meanwhile is newer.
  utimesSync(EXECUTABLE, startedAt, startedAt);
  say(`built dist/oras-csi in ${((Date.now() - startedAt.getTime()) / 1000).toFixed(1)} s`);
}

function newestMtimeMs(): number {
  const times = SOURCES.map((name) => join(ROOT, name))
    .filter((path) => existsSync(path))
    .flatMap((path) => (statSync(path).isDirectory() ? filesBelow(path) : [path]))
    .filter((path) => !path.endsWith(".test.ts"))
    .map((path) => statSync(path).mtimeMs);
  return Math.max(...times);
}

function filesBelow(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}
