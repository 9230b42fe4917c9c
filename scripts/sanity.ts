// `node scripts/sanity.ts`: runs csi-sanity, the CSI project's own conformance test, on the built executable with a real
// artifact: all Identity and Node specs. Where they cannot be run (no root, no Go) it says so and ends with 0.
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Driver, unmountBelow, whyNoMounts } from "../test/driver/index.ts";
import { artifact, EmbeddedRegistry, fileLayer, folderLayer, push } from "../test/registry/index.ts";
import { ControllerStub } from "../test/sanity/controller-stub.ts";
import { ensureFreshBuild } from "./fresh-build.ts";
import { findGoTool, type GoTool, hasGo } from "./go-tool.ts";

const SANITY: GoTool = {
  name: "csi-sanity",
  package: "github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity@v5.6.0",
  tryWith: ["--version"],
};
const RUN_TIMEOUT_MS = 180_000;

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
  ensureFreshBuild(say);
  const folder = await mkdtemp(join(tmpdir(), "oras-csi-sanity-"));
  try {
    return await runAll(command, folder);
  } finally {
    unmountBelow(folder);
    await rm(folder, { recursive: true, force: true });
  }
}

async function runAll(command: string, folder: string): Promise<number> {
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
    socketPath: sockets.driver,
    dataDir: join(folder, "data"),
  });
  await using _stub = await ControllerStub.start(sockets.stub, sockets.driver);
  let failed = 0;
  for (const run of RUNS) {
    const { passed, output } = await runOnce(command, folder, sockets, run);
    const [, ran = "?", skipped = "?"] = /Ran (\d+) of \d+ Specs[\s\S]*?(\d+) Skipped/.exec(output) ?? [];
    say(
      `${run.name}: ${passed ? "passed" : "FAILED"}, ${ran} specs ran, ${skipped} were skipped or are of other services`,
    );
    if (passed) continue;
    failed += 1;
    say(output);
    say(`the driver said:\n${driver.output.slice(-20_000)}`);
  }
  return failed === 0 ? 0 : 1;
}

async function runOnce(
  command: string,
  folder: string,
  sockets: Readonly<Record<Run["endpoint"], string>>,
  run: Run,
): Promise<{ passed: boolean; output: string }> {
  const child = spawn(
    command,
    [
      `--csi.endpoint=${sockets[run.endpoint]}`,
      `--csi.controllerendpoint=${sockets.stub}`,
      `--csi.mountdir=${join(folder, "mount")}`,
      `--csi.stagingdir=${join(folder, "staging")}`,
      `--csi.testvolumeparameters=${join(folder, "parameters.yaml")}`,
      `--ginkgo.focus=${run.focus}`,
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
  const ranSome = /Ran [1-9]\d* of/.test(output);
  return { passed: code === 0 && ranSome, output };
}

function skip(reason: string): number {
  say(`csi-sanity is skipped: ${reason}`);
  return 0;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
