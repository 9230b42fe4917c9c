// `npm run check`: everything about the sources that needs no run of the driver. One line a check; what a check found
// follows its line. Ends with 1 if any of them failed.
import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { checkImports } from "./check-imports.ts";

/** A check finds nothing (an empty text) or says what it found. */
interface Check {
  readonly name: string;
  readonly run: () => Promise<string>;
}

const root = join(import.meta.dirname, "..");
const biomeOptions = ["--config-path=scripts/lint", "--max-diagnostics=100", "."];

const checks: readonly Check[] = [
  { name: "format", run: () => runTool("biome", ["format", ...biomeOptions]) },
  { name: "lint", run: () => runTool("biome", ["lint", "--error-on-warnings", ...biomeOptions]) },
  { name: "types", run: () => runTool("tsc", ["-p", "."]) },
  { name: "imports", run: async () => checkImports(join(root, "src")).join("\n") },
  { name: "wire contracts (buf lint)", run: () => runTool("buf", ["lint"]) },
  { name: "generated code", run: findStaleCode },
  { name: "generated parts of the docs", run: () => runTool("node", ["scripts/docs.ts", "--check"]) },
  { name: "lock file", run: async () => findAddresses() },
];

/** What a tool of node_modules printed when it failed, else an empty text. */
async function runTool(name: string, args: readonly string[]): Promise<string> {
  try {
    await promisify(execFile)(join(root, "node_modules/.bin", name), args, { cwd: root, maxBuffer: 64 * 1024 * 1024 });
    return "";
  } catch (error) {
    const { stdout = "", stderr = "" } = error as { stdout?: string; stderr?: string };
    return `${stdout}${stderr}`.trim() || String(error);
  }
}

/** Generates into a folder of its own and compares that with gen/. */
async function findStaleCode(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "oras-csi-gen-"));
  try {
    const failure = await runTool("buf", ["generate", "--output", folder]);
    if (failure !== "") return failure;
    const [fresh, committed] = [readFolder(join(folder, "gen")), readFolder(join(root, "gen"))];
    const names = new Set([...fresh.keys(), ...committed.keys()]);
    const stale = [...names].filter((name) => fresh.get(name) !== committed.get(name));
    return stale.map((name) => `gen/${name} is not what proto/ makes: run \`npm run generate\``).join("\n");
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function readFolder(folder: string): Map<string, string> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return new Map(
    entries.map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return [path.slice(folder.length + 1), readFileSync(path, "utf8")];
    }),
  );
}

/** A lock file with download addresses binds everybody to the registry of whoever wrote it. */
function findAddresses(): string {
  const count = readFileSync(join(root, "package-lock.json"), "utf8").match(/"resolved":/g)?.length ?? 0;
  return count === 0 ? "" : `package-lock.json has ${count} download addresses ("resolved"): see .npmrc`;
}

const running = checks.map((check) => ({ name: check.name, result: check.run() }));
for (const { name, result } of running) {
  const found = await result;
  console.log(`${found === "" ? "ok    " : "FAILED"}  ${name}`);
  if (found !== "") {
    console.log(found.replace(/^/gm, "        "));
    process.exitCode = 1;
  }
}
