import { spawn } from "node:child_process";
import { type Clock, childEnvironment, errnoOf, killProcessGroup } from "../../base/index.ts";

/** What is run, and for how long. */
export interface ProgramRun {
  /** A path, or a name that is looked for in PATH. */
  readonly file: string;
  /** They can be seen by everybody on the node: no secrets. */
  readonly args: readonly string[];
  /** Added to the driver's own environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin: string;
  readonly clock: Clock;
}

/** How a program ended that ran to its end. */
export interface ProgramEnd {
  readonly code: number;
  readonly stdout: string;
}

/** A program did not run to its end. The message goes on after its name: "did not answer within 10 s". */
export class ProgramFault extends Error {
  readonly isTimeout: boolean;

  constructor(message: string, isTimeout = false) {
    super(message);
    this.isTimeout = isTimeout;
  }
}

const timeoutMs = 10_000;
const lingerMs = 500;
const maxOutputBytes = 1024 * 1024;

/**
 * Runs a program of the node's administrator that tells credentials: without a shell, 10 s and 1 MB at most, then it is
 * ended with all that it started. What it says to stderr is thrown away, as nobody knows what is in it. Rejects with a
 * `ProgramFault`.
 */
export function runProgram({ file, args, env = {}, stdin, clock }: ProgramRun): Promise<ProgramEnd> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    let exitCode: number | undefined;
    let cancelLinger: () => void = () => undefined;
    // A group of its own, so that what it starts can be ended with it.
    const child = spawn(file, args, {
      stdio: ["pipe", "pipe", "ignore"],
      env: childEnvironment(env),
      cwd: "/",
      detached: true,
    });
    const settle = (end: ProgramEnd | ProgramFault) => {
      cancelTimer();
      cancelLinger();
      child.removeAllListeners().on("error", () => undefined);
      child.stdout.destroy();
      child.stdin.destroy();
      // Without a process id it never started, and Deno has nothing to let go of.
      if (child.pid !== undefined) child.unref();
      if (child.pid !== undefined && end instanceof ProgramFault) killProcessGroup(child.pid);
      if (end instanceof ProgramFault) reject(end);
      else resolve(end);
    };
    const onTimeout = () => settle(new ProgramFault(`did not answer within ${timeoutMs / 1000} s`, true));
    const cancelTimer = clock.after(timeoutMs, onTimeout, "hold-process");
    const onOver = () => {
      if (exitCode !== undefined) settle({ code: exitCode, stdout: Buffer.concat(chunks).toString("utf8") });
    };
    child.on("error", (error) => settle(new ProgramFault(startFault(error))));
    child.on("exit", (code, signal) => {
      if (code === null) return settle(new ProgramFault(`was ended by ${signal ?? "a signal"}`));
      exitCode = code;
      // What it leaves in the background may keep its stdout open.
      cancelLinger = clock.after(lingerMs, onOver, "hold-process");
    });
    child.on("close", onOver);
    // Programs that read nothing close it: what they say all the same counts.
    child.stdin.on("error", () => undefined);
    child.stdout.on("error", () => undefined);
    child.stdout.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      chunks.push(chunk);
      if (bytes > maxOutputBytes) settle(new ProgramFault("said more than 1 MB"));
    });
    child.stdin.end(stdin);
  });
}

function startFault(error: Error): string {
  const errno = errnoOf(error);
  if (errno === "ENOENT") return "is not there";
  return `cannot be started${errno === undefined ? "" : ` (${errno})`}`;
}
