import type { BuildInfo } from "../base/index.ts";
import type { CommandContext } from "./context.ts";

/** One line: version, commit, and the Node version inside. */
export function versionLine({ version, commit, nodeVersion, runtime }: BuildInfo): string {
  const place = runtime === "deno" ? " as Deno provides it" : "";
  return `oras-csi ${version} (commit ${commit}, node v${nodeVersion}${place})\n`;
}

/** `oras-csi version`. */
export async function runVersion({ build, writeOutput }: CommandContext): Promise<number> {
  writeOutput(versionLine(build));
  return 0;
}
