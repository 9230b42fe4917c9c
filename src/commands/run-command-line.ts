import { DriverError, describeError, nearestName } from "../base/index.ts";
import {
  type AnyOptionTable,
  cacheListOptions,
  cacheOptions,
  cachePruneOptions,
  cacheVerifyOptions,
  flagsHelp,
  inspectOptions,
  pullOptions,
  quoted,
  scanArguments,
  serveOptions,
  UsageError,
} from "../config/index.ts";
import {
  runCacheDiskUse,
  runCacheList,
  runCachePin,
  runCachePrune,
  runCacheRemove,
  runCacheUnpin,
  runCacheVerify,
} from "./cache.ts";
import type { CommandContext } from "./context.ts";
import { runInspect } from "./inspect.ts";
import { runPull } from "./pull.ts";
import { runServe } from "./serve.ts";
import { runVersion, versionLine } from "./version.ts";

/** A command of the command line. */
interface Command {
  /** Commands of its own, one of which must follow its name. */
  readonly commands?: Readonly<Record<string, Command>>;
  /** One sentence for `oras-csi --help`. */
  readonly summary: string;
  /** What comes after the command's name, for its help; empty: nothing. */
  readonly usage: string;
  readonly options: AnyOptionTable;
  /** Resolves to the exit code. */
  run(context: CommandContext): Promise<number>;
}

const TREES = "[--FLAG ...] TREE ...";
const FLAGS = "[--FLAG ...]";

const CACHE_COMMANDS: Readonly<Record<string, Command>> = {
  ls: {
    summary: "list the trees of the cache: references, digest, size, age, last use, and how many volumes have each",
    usage: FLAGS,
    options: cacheListOptions,
    run: runCacheList,
  },
  du: {
    summary: "show what the cache takes on disk, by kind",
    usage: FLAGS,
    options: cacheOptions,
    run: runCacheDiskUse,
  },
  prune: {
    summary: "remove all that no volume has and nobody pinned",
    usage: FLAGS,
    options: cachePruneOptions,
    run: runCachePrune,
  },
  verify: {
    summary: "read all of the cache and compare it with its digests",
    usage: FLAGS,
    options: cacheVerifyOptions,
    run: runCacheVerify,
  },
  rm: { summary: "remove trees that no volume has", usage: TREES, options: cacheOptions, run: runCacheRemove },
  pin: { summary: "keep trees from being collected", usage: TREES, options: cacheOptions, run: runCachePin },
  unpin: { summary: "let pinned trees be collected again", usage: TREES, options: cacheOptions, run: runCacheUnpin },
};

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
  pull: {
    summary: "put the files of an artifact into a folder, or an artifact into a driver's cache",
    usage: "[--FLAG ...] REFERENCE",
    options: pullOptions,
    run: runPull,
  },
  cache: {
    summary: "look into a cache, beside a running driver or alone, and put it right",
    usage: "COMMAND [--FLAG ...]",
    options: {},
    commands: CACHE_COMMANDS,
    run: async () => {
      throw new UsageError(`cache needs a command: ${Object.keys(CACHE_COMMANDS).join(", ")}`);
    },
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
  const { names, command, argv } = isCommand
    ? findCommand(context.argv)
    : { names: [], command: commandOf("serve"), argv: context.argv };
  const { flags, words } = scanArguments(argv, command.options);
  const asked = flags.map(({ name }) => name);
  if (asked.includes("help") || asked.includes("h")) return showHelp(context, names);
  if (asked.includes("version")) {
    context.writeOutput(versionLine(context.build));
    return 0;
  }
  if (command.usage === "" && argv.length > 0) {
    const unexpected = asked[0] === undefined ? quoted(words[0] ?? "--") : quoted(`--${asked[0]}`);
    throw new UsageError(`unexpected argument ${unexpected}: ${names.join(" ")} takes none but --help`);
  }
  return command.run({ ...context, argv });
}

/** A command, and one of its own commands if it has some, by the names that a command line begins with. */
function findCommand(argv: readonly string[]) {
  const [first = "", second] = argv;
  const command = commandOf(first);
  if (command.commands === undefined || second === undefined || second.startsWith("-"))
    return { names: [first], command, argv: argv.slice(1) };
  return { names: [first, second], command: commandOf(second, command.commands, `${first} `), argv: argv.slice(2) };
}

function commandOf(name: string, commands = COMMANDS, prefix = ""): Command {
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command !== undefined) return command;
  const names = [...Object.keys(commands), ...(prefix === "" ? ["help"] : [])];
  const near = nearestName(name, names);
  const hint = near === undefined ? "" : ` (did you mean ${prefix}${near}?)`;
  throw new UsageError(`unknown command ${quoted(prefix + name)}${hint}; allowed: ${names.join(", ")}`);
}

function showHelp({ writeOutput }: CommandContext, words: readonly string[]): number {
  const [name] = words;
  if (name === undefined || name === "help") {
    if (words[1] !== undefined) throw new UsageError(`unexpected argument ${quoted(words[1])}: help takes one command`);
    writeOutput(overview());
    return 0;
  }
  const { names, command, argv } = findCommand(words);
  if (argv[0] !== undefined) throw new UsageError(`unexpected argument ${quoted(argv[0])}: help takes one command`);
  writeOutput(commandHelp(names.join(" "), command));
  return 0;
}

function overview(): string {
  const list = Object.entries({ ...COMMANDS, help: { summary: "show this, or with a command's name its flags" } });
  const commands = commandList(list);
  return `A CSI driver that mounts OCI artifacts into pods.

Usage: oras-csi [COMMAND] [--FLAG ...]

Commands:
${commands}
${flagsSection("serve", serveOptions)}`;
}

function commandList(commands: readonly (readonly [string, { readonly summary: string }])[]): string {
  return commands.map(([name, { summary }]) => `  ${name.padEnd(9)}${summary}\n`).join("");
}

function commandHelp(name: string, { summary, usage, options, commands }: Command): string {
  const text = `Usage: ${`oras-csi ${name} ${usage}`.trimEnd()}\n\n${summary}\n`;
  if (commands !== undefined) {
    return `${text}\nCommands:\n${commandList(Object.entries(commands))}\nSee oras-csi ${name} COMMAND --help for flags.\n`;
  }
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
