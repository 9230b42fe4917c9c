// `npm run build`: dist/oras-csi-linux-x64 and -arm64, and dist/oras-csi, which is the one for this machine.
// `npx node scripts/build.ts own` makes that one only; architectures may be named, too.
import { linkSync, mkdirSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { bundleSources } from "./build/bundle.ts";
import { buildExecutable } from "./build/executable.ts";
import { type Architecture, cacheFolder, findPlatformFiles } from "./build/packages.ts";
import { tryExecutable } from "./build/try-executable.ts";

const dist = join(import.meta.dirname, "../dist");
const own = process.arch as Architecture;

async function main(args: readonly string[]): Promise<void> {
  const wanted = args.length === 0 ? ["own", "x64", "arm64"] : args;
  const architectures = new Set(wanted.map((name) => (name === "own" ? own : name)));
  mkdirSync(cacheFolder, { recursive: true });
  mkdirSync(dist, { recursive: true });
  const bundles = await bundleSources(join(cacheFolder, "bundles"));
  for (const architecture of architectures) {
    if (architecture !== "x64" && architecture !== "arm64") throw new Error(`no build for "${architecture}"`);
    const output = join(dist, `oras-csi-linux-${architecture}`);
    const files = await findPlatformFiles(architecture);
    await buildExecutable({ architecture, files, bundles, output });
    const megabytes = (statSync(output).size / 1e6).toFixed(1);
    console.log(`dist/oras-csi-linux-${architecture}: ${megabytes} MB; ${await tryExecutable(output, architecture)}`);
    if (architecture === own) linkOwn(output);
  }
}

/** dist/oras-csi is the same file under the short name. */
function linkOwn(output: string): void {
  const link = join(dist, "oras-csi.new");
  rmSync(link, { force: true });
  linkSync(output, link);
  renameSync(link, join(dist, "oras-csi"));
}

await main(process.argv.slice(2));
