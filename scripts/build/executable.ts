import { chmodSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Bundles } from "./bundle.ts";
import { type Architecture, cacheFolder, type PlatformFiles } from "./packages.ts";
import { recordCode } from "./record-code.ts";
import { ensureTool, runTool } from "./run-tool.ts";

/**
 * What the executable passes to itself. The heap flags hold for each thread. Measured with a Connect server, anonymous
 * memory in MB at rest and after 20,000 calls: 20 and 124 without flags, 18 and 75 with the first, 18 and 42 with both;
 * calls are as fast. 64 or 96 MB of old space are no better than 128. --optimize-for-size would save 3 and 8 more, but
 * slows down the JavaScript of unpacking by a tenth or two, and the code cache then depends on it.
 */
const execArgv: readonly string[] = [
  "--max-semi-space-size=1",
  "--max-old-space-size=128",
  // koffi's native part is loaded from memory: see src/base/runtime.ts.
  "--experimental-vfs",
  "--disable-warning=ExperimentalWarning",
];

/** What one executable is made of and where it goes. */
export interface ExecutableParts {
  readonly architecture: Architecture;
  readonly files: PlatformFiles;
  readonly bundles: Bundles;
  readonly output: string;
}

/** Puts the bundles, the main one's compiled code and koffi's native part into a copy of Node. */
export async function buildExecutable({ architecture, files, bundles, output }: ExecutableParts): Promise<void> {
  const node = await stripNode(architecture, files);
  const assets = { ...bundles.assets, "koffi.node": files.koffi };
  const finished = `${output}.new`;
  // Only the processor itself can say what its code is: an executable for another one compiles when it runs.
  if (architecture === process.arch) {
    const code = join(cacheFolder, "main.code");
    const recording = join(cacheFolder, "recording-executable");
    await assemble({ node, main: bundles.recordingStart, assets, output: recording });
    await recordCode(recording, code);
    await assemble({ node, main: bundles.start, assets: { ...assets, "main.code": code }, output: finished });
  } else {
    await assemble({ node, main: bundles.start, assets, output: finished });
  }
  // By rename, so that an executable that runs just now stays whole.
  renameSync(finished, output);
}

interface Assembly {
  readonly node: string;
  readonly main: string;
  readonly assets: Readonly<Record<string, string>>;
  readonly output: string;
}

async function assemble({ node, main, assets, output }: Assembly): Promise<void> {
  const config = {
    main,
    mainFormat: "commonjs",
    output,
    executable: node,
    disableExperimentalSEAWarning: true,
    useCodeCache: false,
    execArgv,
    // NODE_OPTIONS of whoever starts the driver is nothing that it looks at.
    execArgvExtension: "none",
    assets,
  };
  const configFile = `${output}.json`;
  writeFileSync(configFile, JSON.stringify(config, undefined, 2));
  await runTool(process.execPath, ["--build-sea", configFile]);
  rmSync(configFile);
  chmodSync(output, 0o755);
}

/** Node without its symbols, a third smaller; as it came where there is no strip for that architecture. */
async function stripNode(architecture: Architecture, { node, nodeVersion }: PlatformFiles): Promise<string> {
  const stripped = join(cacheFolder, `node-${nodeVersion}-${architecture}-stripped`);
  if (existsSync(stripped)) return stripped;
  const own = architecture === process.arch;
  const triplet = architecture === "x64" ? "x86-64-linux-gnu" : "aarch64-linux-gnu";
  const strip = own ? "strip" : `${triplet.replace("x86-64", "x86_64")}-strip`;
  if (!(await ensureTool(strip, own ? "binutils" : `binutils-${triplet}`))) {
    console.log(`  there is no ${strip}: the executable for ${architecture} keeps Node's symbols and is larger`);
    return node;
  }
  mkdirSync(cacheFolder, { recursive: true });
  await runTool(strip, ["-o", `${stripped}.new`, node]);
  renameSync(`${stripped}.new`, stripped);
  return stripped;
}
