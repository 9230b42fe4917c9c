import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { skipMounts, useMountArea } from "../test/helpers/mount-area.ts";

const main = fileURLToPath(new URL("./main.ts", import.meta.url));
const environment = { PATH: process.env["PATH"] ?? "" };

function run(...argv: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...argv], {
    encoding: "utf8",
    env: environment,
  });
  return { status, stdout, stderr };
}

const VERSION = /^oras-csi \d+\.\d+\.\d+\S* \(commit \S+, node v\d+\.\d+\.\d+\)\n$/;
const OVERVIEW =
  /^A CSI driver .*\nUsage: oras-csi .*\n {2}serve +\w.*\n {2}version +\w.*\nSee oras-csi COMMAND --help /s;
const SERVE_HELP = /^Usage: oras-csi serve \[--FLAG .*\n {2}--csi-endpoint /s;
const INSPECT_HELP = /^Usage: oras-csi inspect \[--FLAG .*REFERENCE\n.*\n {2}-u, --username NAME\n(?!.*ORAS_CSI_)/s;
const VERSION_HELP = /^Usage: oras-csi version\n\n.*\n$/;

const answered: [argv: string[], output: RegExp][] = [
  [["version"], VERSION],
  [["--version"], VERSION],
  [["serve", "--version"], VERSION],
  [["--mode=node", "-version"], VERSION],
  [["--help"], OVERVIEW],
  [["-h"], OVERVIEW],
  [["help"], OVERVIEW],
  [["--nonsense", "--help"], OVERVIEW],
  [["serve", "--help"], SERVE_HELP],
  [["serve", "--mode", "node", "-help"], SERVE_HELP],
  [["help", "serve"], SERVE_HELP],
  [["inspect", "--help"], INSPECT_HELP],
  [["inspect", "-u", "name", "-h"], INSPECT_HELP],
  [["version", "--help"], VERSION_HELP],
  [["cache", "prune", "--help"], /^Usage: oras-csi cache prune [\s\S]*--older-than DURATION/],
  [["help", "cache"], /^Usage: oras-csi cache COMMAND[\s\S]*\n {2}verify /],
  [["help", "version"], VERSION_HELP],
];
for (const [argv, output] of answered) {
  test(`oras-csi ${argv.join(" ")} answers on standard output and exits 0`, () => {
    const { status, stdout, stderr } = run(...argv);
    assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
    assert.match(stdout, output);
  });
}

const refused: [argv: string[], line: RegExp][] = [
  [
    ["srve"],
    /^oras-csi: unknown command "srve" \(did you mean serve\?\); allowed: serve, inspect, pull, cache, version, help\n$/,
  ],
  [["cache"], /^oras-csi: cache needs a command: ls, du, prune, verify, rm, pin, unpin\n$/],
  [["cache", "list"], /^oras-csi: unknown command "cache list"; allowed: ls, /],
  [["cache", "du", "more"], /^oras-csi: unexpected argument "more"/],
  [["cache", "rm"], /^oras-csi: no tree is named: /],
  [["constructor"], /^oras-csi: unknown command "constructor"; allowed: /],
  [[""], /^oras-csi: unknown command "";/],
  [["help", "frobnicate"], /^oras-csi: unknown command "frobnicate"/],
  [["help", "serve", "more"], /^oras-csi: unexpected argument "more"/],
  [["version", "--json"], /^oras-csi: unexpected argument "--json": version takes none/],
  [["version", "now"], /^oras-csi: unexpected argument "now": version takes none/],
  [["--mod=node"], /^oras-csi: unknown flag "--mod" \(did you mean --mode\?\); allowed: /],
  [["--mode=node", "serve"], /^oras-csi: unexpected argument "serve"/],
  [["serve", "--csi-endpoint=tcp://127.0.0.1:1"], /^oras-csi: bad value "tcp:.*" for --csi-endpoint: must be unix:/],
  [
    ["serve", "--config=/nonexistent/file.yaml"],
    /^oras-csi: cannot read the configuration file "[^"]*": ENOENT[^:]*: no such [^:]*$/,
  ],
];
for (const [argv, line] of refused) {
  test(`oras-csi ${argv.join(" ")} says one line on standard error and exits 2`, () => {
    const { status, stdout, stderr } = run(...argv);
    assert.deepEqual({ status, stdout }, { status: 2, stdout: "" });
    assert.match(stderr, line);
    assert.equal(stderr.indexOf("\n"), stderr.length - 1);
  });
}

test("a reader that goes away ends the program quietly", async () => {
  const child = spawn(process.execPath, [main, "--help"], { env: environment });
  child.stdout.destroy();
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const [code] = await once(child, "close");
  assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
});

/** Starts `serve` with data and socket of its own; `lines` are its log, `ended` its exit code. */
function startServe(t: TestContext, ...nodeOptions: string[]) {
  const folder = mkdtempSync(join(tmpdir(), "oras-csi-main-"));
  const flags = [`--csi-endpoint=${folder}/csi.sock`, `--data-dir=${folder}/data`, "--mode=node", "--handlers-count=2"];
  const child = spawn(process.execPath, [...nodeOptions, main, ...flags], { env: environment });
  const ended = once(child, "close");
  t.after(async () => {
    child.kill("SIGKILL");
    await ended;
    rmSync(folder, { recursive: true, force: true });
  });
  return { child, ended, lines: createInterface(child.stderr)[Symbol.asyncIterator]() };
}

async function nextLine(lines: AsyncIterator<string>): Promise<Record<string, unknown>> {
  return JSON.parse((await lines.next()).value) as Record<string, unknown>;
}

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  test(`serve says which flags have no effect, and ends with exit code 0 on ${signal}`, async (t) => {
    const { child, ended, lines } = startServe(t);
    const first = await nextLine(lines);
    assert.deepEqual([first["level"], first["flags"]], ["info", ["--mode", "--handlers-count"]]);
    child.kill(signal);
    assert.deepEqual(await ended, [0, null]);
  });
}

const crashes: [name: string, statement: string][] = [
  ["uncaught exception", "throw new Error('boom')"],
  ["unhandled rejection", "Promise.reject(new Error('boom'))"],
];
for (const [name, statement] of crashes) {
  test(`an ${name} in serve is logged, then ends the process with exit code 1`, async (t) => {
    const preload = `data:text/javascript,process.on("SIGUSR2", () => { ${statement} })`;
    const { child, ended, lines } = startServe(t, "--import", preload);
    await nextLine(lines);
    child.kill("SIGUSR2");
    let crash = await nextLine(lines);
    while (crash["level"] !== "error") crash = await nextLine(lines);
    assert.equal(crash["error"], "boom");
    assert.match(String(crash["stack"]), /^Error: boom\n +at /);
    assert.deepEqual(await ended, [1, null]);
  });
}

test("a crash ends the process, too, while a thread of it hangs in a file system", { skip: skipMounts }, async (t) => {
  await using area = await useMountArea();
  const target = area.folder("hung");
  await area.mountHung(target);
  const preload = `data:text/javascript,import { promises } from "node:fs";
    process.on("SIGUSR2", () => { promises.stat(${JSON.stringify(target)}); throw new Error("boom") })`;
  const { child, ended, lines } = startServe(t, "--import", preload);
  let line = await nextLine(lines);
  while (line["msg"] !== "the driver runs") line = await nextLine(lines);
  child.kill("SIGUSR2");
  assert.deepEqual(await ended, [1, null]);
});

test("inspect waits between its tries, and says what is wrong in the end", () => {
  const { status, stderr } = run("inspect", "127.0.0.1:1/team/thing:v1", "--plain-http");
  assert.equal(status, 1);
  assert.match(stderr, /^oras-csi: .*connection refused.* \(trying again\)\noras-csi: .*connection refused.*\n$/);
});
