// `npx node scripts/sanity.ts`: runs csi-sanity, the CSI project's own conformance test, on the built executable with a
// real artifact: all Identity and Node specs have to pass. With `--image` the executable is the one in dist/image, if
// that is there. Where the specs cannot be run (no root, no Go) it says so and ends with 0.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Driver, EXECUTABLE, unmountBelow, whyNoMounts } from "../test/driver/index.ts";
import { artifact, EmbeddedRegistry, fileLayer, folderLayer, push } from "../test/registry/index.ts";
import { ControllerStub } from "../test/sanity/controller-stub.ts";
import { ensureFreshBuild } from "./fresh-build.ts";
import { findGoTool, type GoTool, hasGo } from "./go-tool.ts";
import { extractExecutable } from "./image/extract-executable.ts";
import { missingSpecs, readSpecs, type Wanted } from "./sanity/spec-report.ts";

const SANITY: GoTool = {
  name: "csi-sanity",
  package: "github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity@v5.6.0",
  tryWith: ["--version"],
};
const RUN_TIMEOUT_MS = 180_000;
const REPORT = "report.json";

/**
 * A run of csi-sanity. The first one talks to the driver alone; the specs that publish and unpublish as a whole want a
 * controller on the same socket, which the stub is, with the driver behind it.
 */
interface Run {
  readonly name: string;
  readonly endpoint: "driver" | "stub";
  readonly focus: string;
}

const RUNS: readonly Run[] = [
  {
    name: "Identity and Node specs, on the driver's socket",
    endpoint: "driver",
    focus: "Identity Service|Node Service",
  },
  {
    name: "whole publish sequences, behind the stub",
    endpoint: "stub",
    focus: "Node Service should (work|be idempotent)",
  },
];

/** What oras-csi has none of: stages, expansion, SINGLE_NODE_MULTI_WRITER. */
const WANTED: Wanted = {
  of: /^(?:Identity|Node) Service /,
  unless: /^Node Service (?:NodeStage|NodeUnstage|NodeExpand|NodePublishVolume with single node multi writer)/,
  count: 20,
};

process.exitCode = await main();

async function main(): Promise<number> {
  const noMounts = whyNoMounts();
  if (noMounts !== false) return skip(noMounts);
  const command = findGoTool(SANITY);
  if (command === undefined) {
    if (!hasGo()) return skip("csi-sanity is not installed, and without Go it cannot be");
    say("csi-sanity could not be installed: see above");
    return 1;
  }
  const folder = await mkdtemp(join(tmpdir(), "oras-csi-sanity-"));
  try {
    return await runAll({ command, folder, executable: await findExecutable(folder) });
  } finally {
    unmountBelow(folder);
    await rm(folder, { recursive: true, force: true });
  }
}

async function findExecutable(folder: string): Promise<string> {
  if (process.argv.includes("--image")) {
    const executable = await extractExecutable(join(import.meta.dirname, "../dist/image"), folder);
    if (executable !== undefined) {
      say("the executable is that of dist/image");
      return executable;
    }
    say("there is no dist/image with an executable for this machine: the one of the build is taken");
  }
  ensureFreshBuild(say);
  return EXECUTABLE;
}

interface Tools {
  /** csi-sanity. */
  readonly command: string;
  readonly folder: string;
  readonly executable: string;
}

async function runAll({ command, folder, executable }: Tools): Promise<number> {
  await using registry = await EmbeddedRegistry.start();
  const layers = [fileLayer("hello.txt", "hello\n"), await folderLayer("folder", { "in/side": "i" })];
  await push(registry, "team/sanity", artifact(layers), "v1");
  const parameters = {
    "oras.artifact.reference": `${registry.host}/team/sanity:v1`,
    "oras.options.plainhttp": "true",
  };
  // JSON is YAML.
  await writeFile(join(folder, "parameters.yaml"), JSON.stringify(parameters));
  const sockets = { driver: join(folder, "csi.sock"), stub: join(folder, "stub.sock") };
  await using driver = await Driver.start({
    flavour: "executable",
    executable,
    socketPath: sockets.driver,
    dataDir: join(folder, "data"),
  });
  await using _stub = await ControllerStub.start(sockets.stub, sockets.driver);
  const specs: ReadonlyMap<string, string>[] = [];
  let failed = 0;
  for (const run of RUNS) {
    const { code, output } = await runOnce(command, folder, sockets, run);
    const found = existsSync(join(folder, REPORT)) ? readSpecs(join(folder, REPORT)) : new Map<string, string>();
    await rm(join(folder, REPORT), { force: true });
    specs.push(found);
    const passed = [...found.values()].filter((state) => state === "passed").length;
    say(`${run.name}: ${code === 0 ? "ok" : "FAILED"}, ${passed} specs passed`);
    if (code === 0) continue;
    failed += 1;
    say(output);
    say(`the driver said:\n${driver.output.slice(-20_000)}`);
  }
  const missing = missingSpecs(specs, WANTED);
  say(missing.length === 0 ? "all Identity and Node specs passed" : `FAILED, did not pass:\n${missing.join("\n")}`);
  return failed === 0 && missing.length === 0 ? 0 : 1;
}

async function runOnce(
  command: string,
  folder: string,
  sockets: Readonly<Record<Run["endpoint"], string>>,
  run: Run,
): Promise<{ code: number | null; output: string }> {
  const child = spawn(
    command,
    [
      `--csi.endpoint=${sockets[run.endpoint]}`,
      `--csi.controllerendpoint=${sockets.stub}`,
      `--csi.mountdir=${join(folder, "mount")}`,
      `--csi.stagingdir=${join(folder, "staging")}`,
      `--csi.testvolumeparameters=${join(folder, "parameters.yaml")}`,
      `--ginkgo.focus=${run.focus}`,
      `--ginkgo.json-report=${join(folder, REPORT)}`,
      "--ginkgo.no-color",
      "--ginkgo.v",
    ],
    { cwd: folder, stdio: ["ignore", "pipe", "pipe"], timeout: RUN_TIMEOUT_MS },
  );
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  return { code, output };
}

function skip(reason: string): number {
  say(`csi-sanity is skipped: ${reason}`);
  return 0;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
