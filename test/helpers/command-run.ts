import { readFileSync } from "node:fs";
import { type CommandContext, runCommandLine } from "../../src/commands/index.ts";

/** What a command printed, and its exit code. */
export interface CommandRun {
  readonly code: number;
  readonly output: string;
  readonly error: string;
}

/** What a command finds around it; nothing unless it is told. */
export interface CommandSurroundings {
  readonly env?: Readonly<Record<string, string>>;
  /** Standard input. */
  readonly input?: string;
  /** Asks the command to stop. */
  readonly signal?: AbortSignal;
  /** The width of the terminal that standard error is. */
  readonly terminalColumns?: number;
  /** Root's if left out. */
  readonly userId?: number;
}

/** Runs a command line in this process, with files but none of the environment of the machine. */
export async function runCommand(argv: readonly string[], surroundings: CommandSurroundings = {}): Promise<CommandRun> {
  const { env = {}, input = "", signal = new AbortController().signal, terminalColumns, userId = 0 } = surroundings;
  let [output, error] = ["", ""];
  const context: CommandContext = {
    argv,
    env,
    cwd: "/",
    hostname: "host-1",
    build: { version: "1.2.3", commit: "abc1234", nodeVersion: "26.10.0", runtime: "executable" },
    readFile: (path) => readFileSync(path, "utf8"),
    readInput: async () => input,
    writeOutput: (text) => {
      output += text;
    },
    writeError: (text) => {
      error += text;
    },
    terminalColumns,
    userId,
    stopSignal: () => signal,
    onCrash: () => undefined,
  };
  const code = await runCommandLine(context);
  return { code, output, error };
}
