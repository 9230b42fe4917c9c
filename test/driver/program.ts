import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { commandLine, type Flavour } from "./driver.ts";

/** How a command of the program ended, and what it printed. */
export interface ProgramRun {
  readonly code: number | null;
  readonly output: string;
  readonly error: string;
}

/** Runs a command of the program, in the flavour that the tests use if none is named, to its end. */
export async function runProgram(
  argv: readonly string[],
  {
    input = "",
    env = {},
    flavour,
    kill,
  }: {
    readonly input?: string;
    readonly env?: Readonly<Record<string, string>>;
    readonly flavour?: Flavour;
    /** Ends it as kill -9 does. */
    readonly kill?: AbortSignal;
  } = {},
): Promise<ProgramRun> {
  const [command, ...first] = commandLine({ flavour });
  const child = spawn(command, [...first, ...argv], {
    env: { PATH: process.env.PATH ?? "", ...env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  const closed = once(child, "close");
  // It may end without having read anything.
  child.stdin.on("error", () => undefined);
  child.stdin.end(input);
  kill?.addEventListener("abort", () => child.kill("SIGKILL"), { once: true });
  const [output, error] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const [code] = await closed;
  return { code, output, error };
}
