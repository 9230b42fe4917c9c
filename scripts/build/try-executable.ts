import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { promisify } from "node:util";
import type { Architecture } from "./packages.ts";
import { hasTool } from "./run-tool.ts";

/** What `version` of a new executable prints, under qemu for another architecture; else why it was not tried. */
export async function tryExecutable(path: string, architecture: Architecture): Promise<string> {
  if (architecture === process.arch) return runVersion([path]);
  const [machine, libraries] =
    architecture === "arm64" ? ["aarch64", "/usr/aarch64-linux-gnu"] : ["x86_64", "/usr/x86_64-linux-gnu"];
  const qemu = `qemu-${machine}-static`;
  if (!(await hasTool(qemu))) return `not tried: ${qemu} is not installed (Debian: qemu-user-static)`;
  const missing = ["libatomic.so.1", "libstdc++.so.6"].filter((name) => !existsSync(`${libraries}/lib/${name}`));
  if (missing.length > 0) {
    const suffix = `${architecture === "arm64" ? "arm64" : "amd64"}-cross`;
    return `not tried: ${missing.join(" and ")} for it is missing (Debian: libatomic1-${suffix}, libstdc++6-${suffix})`;
  }
  return `${await runVersion([qemu, "-L", libraries, path])} (run by qemu)`;
}

/** A word on standard error counts as failure: V8 refuses a code cache that was made with other flags in that way. */
async function runVersion([command = "", ...args]: readonly string[]): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)(command, [...args, "version"]);
  if (stderr !== "") throw new Error(`${command} ${args.join(" ")} version complains: ${stderr}`);
  return stdout.trim();
}
