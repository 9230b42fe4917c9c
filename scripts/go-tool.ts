import { spawnSync } from "node:child_process";
import { homedir } from "node:os";
import { join } from "node:path";

/** A program that Go installs: its name, its package with a version, and arguments with which it ends at once. */
export interface GoTool {
  readonly name: string;
  readonly package: string;
  readonly tryWith: readonly string[];
}

/** The path of a program: on PATH, where `go install` puts it, or installed now; undefined without it and without Go. */
export function findGoTool(tool: GoTool): string | undefined {
  const found = findInstalled(tool);
  if (found !== undefined || !hasGo()) return found;
  console.log(`installing ${tool.name} (go install ${tool.package})`);
  const installed = spawnSync("go", ["install", tool.package], { encoding: "utf8" });
  if (installed.status !== 0) console.log(installed.stderr.trim());
  return findInstalled(tool);
}

/** Whether Go is there to install with. */
export function hasGo(): boolean {
  return spawnSync("go", ["version"]).error === undefined;
}

function findInstalled({ name, tryWith }: GoTool): string | undefined {
  const go = spawnSync("go", ["env", "GOPATH"], { encoding: "utf8" });
  const inGoPath = join((go.stdout ?? "").trim() || join(homedir(), "go"), "bin", name);
  return [name, inGoPath].find((path) => spawnSync(path, tryWith).status === 0);
}
