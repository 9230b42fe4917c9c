import { DriverError, describeError, nearestName } from "../base/index.ts";
import {
  type AnyOptionTable,
  flagsHelp,
  inspectOptions,
  quoted,
  scanArguments,
  serveOptions,
  UsageError,
} from "../config/index.ts";
import type { CommandContext } from "./context.ts";
import { runInspect } from "./inspect.ts";
import { runServe } from "./serve.ts";
import { runVersion, versionLine } from "./version.ts";

/** A command of the command line. */
interface Command {
  /** One sentence for `oras-csi --help`. */
  readonly summary: string;
  /** What comes after the command's name, for its help; empty: nothing. */
  readonly usage: string;
  readonly options: AnyOptionTable;
  /** Resolves to the exit code. */
  run(context: CommandContext): Promise<number>;
}

const COMMANDS: Readonly<Record<string, Command>> = {
  serve: {
    summary: "run the CSI driver until SIGTERM (also meant by flags without a command)",
    usage: "[--FLAG ...]",
    options: serveOptions,
    run: runServe,
  },
  inspect: {
    summary: "show what a reference is, and what each of its layers becomes in a volume",
    usage: "[--FLAG ...] REFERENCE",
    options: inspectOptions,
    run: runInspect,
  },
  version: { summary: "print version, commit and Node version", usage: "", options: {}, run: runVersion },
};

/**
 * Runs what the command line asks for and resolves to the exit code: 0; 1 when the command failed, with one line on
 * standard error; 2 when the command line is wrong, with one line that says what is allowed.
 */
export async function runCommandLine(context: CommandContext): Promise<number> {
  try {
    return await dispatch(context);
  } catch (reason) {
    const message = reason instanceof DriverError ? reason.message : describeError(reason);
    context.writeError(`oras-csi: ${message.replaceAll(/\s*\n\s*/g, " ")}\n`);
    return reason instanceof UsageError ? 2 : 1;
  }
}

async function dispatch(context: CommandContext): Promise<number> {
  const [first, ...rest] = context.argv;
  if (first === "help") return showHelp(context, rest);
  const isCommand = first !== undefined && !first.startsWith("-");
  const command = commandOf(isCommand ? first : "serve");
  const argv = isCommand ? rest : context.argv;
  const { flags, words } = scanArguments(argv, command.options);
  const asked = flags.map(({ name }) => name);
  if (asked.includes("help") || asked.includes("h")) return showHelp(context, isCommand ? [first] : []);
  if (asked.includes("version")) {
    context.writeOutput(versionLine(context.build));
    return 0;
  }
  if (Object.keys(command.options).length === 0 && argv.length > 0) {
    const unexpected = asked[0] === undefined ? quoted(words[0] ?? "--") : quoted(`--${asked[0]}`);
    throw new UsageError(`unexpected argument ${unexpected}: ${first} takes none but --help`);
  }
  return command.run({ ...context, argv });
}

function commandOf(name: string): Command {
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command !== undefined) return command;
  const names = [...Object.keys(COMMANDS), "help"];
  const near = nearestName(name, names);
  const hint = near === undefined ? "" : ` (did you mean ${near}?)`;
  throw new UsageError(`unknown command ${quoted(name)}${hint}; allowed: ${names.join(", ")}`);
}

function showHelp({ writeOutput }: CommandContext, words: readonly string[]): number {
  const [name, ...others] = words;
  if (others[0] !== undefined) throw new UsageError(`unexpected argument ${quoted(others[0])}: help takes one command`);
  if (name === undefined || name === "help") writeOutput(overview());
  else writeOutput(commandHelp(name, commandOf(name)));
  return 0;
}

function overview(): string {
  const list = Object.entries({ ...COMMANDS, help: { summary: "show this, or with a command's name its flags" } });
  const commands = list.map(([name, { summary }]) => `  ${name.padEnd(9)}${summary}\n`).join("");
  return `A CSI driver that mounts OCI artifacts into pods.

Usage: oras-csi [COMMAND] [--FLAG ...]

Commands:
${commands}
${flagsSection("serve", serveOptions)}`;
}

function commandHelp(name: string, { summary, usage, options }: Command): string {
  const text = `Usage: ${`oras-csi ${name} ${usage}`.trimEnd()}\n\n${summary}\n`;
  return usage === "" ? text : `${text}\n${flagsSection(name, options)}`;
}

function flagsSection(name: string, options: AnyOptionTable): string {
  return `Flags of ${name}:
${flagsHelp(options)}
  --help, --version
      show this; print the version

A flag is written --flag VALUE, --flag=VALUE, or with one dash.${name === "serve" ? OTHER_SOURCES : "\n"}`;
}

const OTHER_SOURCES = ` Each can also be set by an environment variable
(--log-level by ORAS_CSI_LOG_LEVEL) and by a key of its own name in the file of --config. A flag wins over the
environment, the environment over the file.
`;
