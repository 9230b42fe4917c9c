import type { BuildInfo } from "../base/index.ts";

/** All that a command may touch of the process that it runs in; `main.ts` makes it, tests make their own. */
export interface CommandContext {
  /** Arguments after the command's name. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Absolute folder that relative paths start from. */
  readonly cwd: string;
  readonly hostname: string;
  readonly build: BuildInfo;
  /** Whose rights the process has, 0 for root; undefined where the system has no such numbers. */
  readonly userId: number | undefined;
  /** Reads a small text file; throws when it cannot. */
  readonly readFile: (path: string) => string;
  /** Standard input, to its end, as text; rejects where it is longer than any password. */
  readonly readInput: () => Promise<string>;
  /** Standard output: what the command was asked for. */
  readonly writeOutput: (text: string) => void;
  /** Standard error: messages and the log. */
  readonly writeError: (text: string) => void;
  /** How wide the terminal is that standard error is; undefined if it is none. */
  readonly terminalColumns: number | undefined;
  /** Fires when the process is asked to stop. Signals keep their default effect until this is first called. */
  readonly stopSignal: () => AbortSignal;
  /** Has `report` called for an error that nobody caught, just before the process ends with exit code 1. */
  readonly onCrash: (report: (reason: unknown) => void) => void;
}
