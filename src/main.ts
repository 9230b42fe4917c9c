import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import process from "node:process";
import { buildInfo, describeError } from "./base/index.ts";
import { runCommandLine } from "./commands/index.ts";

/** The composition root: hands the process, in parts, to the command that its arguments name. */
async function main(): Promise<void> {
  // A reader that went away (`oras-csi --help | head -1`) is no reason to end with a stack trace; nothing can be told.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
  const writeError = (text: string) => void process.stderr.write(text);
  // Holds if the process ends because a command waits for something that can never come.
  process.exitCode = 1;
  process.exitCode = await runCommandLine({
    argv: process.argv.slice(2),
    env: process.env,
    cwd: process.cwd(),
    hostname: hostname(),
    build: buildInfo(),
    userId: process.geteuid?.(),
    readFile: (path) => readFileSync(path, "utf8"),
    readInput,
    writeOutput: (text) => void process.stdout.write(text),
    writeError,
    terminalColumns: process.stderr.isTTY ? process.stderr.columns : undefined,
    stopSignal,
    onCrash: crashReporter(writeError),
  });
}

/** More is no password: somebody has put a file's name wrong. */
const MAX_INPUT_CHARACTERS = 1024 * 1024;

async function readInput(): Promise<string> {
  let text = "";
  for await (const part of process.stdin.setEncoding("utf8")) {
    text += part;
    if (text.length > MAX_INPUT_CHARACTERS) throw new Error("standard input is too long");
  }
  return text;
}

/** Fires at the first SIGTERM or SIGINT; the same signal once more has its default effect. */
function stopSignal(): AbortSignal {
  const stop = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => stop.abort());
  return stop.signal;
}

/** Ends the process with exit code 1 for what nobody caught, after a line about it; what it returns replaces that line. */
function crashReporter(writeError: (text: string) => void): (report: (reason: unknown) => void) => void {
  let current = (reason: unknown) => writeError(`oras-csi: unexpected failure: ${describeError(reason)}\n`);
  const crash = (reason: unknown) => {
    try {
      current(reason);
    } finally {
      process.exit(1);
    }
  };
  // A rejection that nobody handles comes here, too.
  process.on("uncaughtException", crash);
  return (report) => {
    current = report;
  };
}

void main();
