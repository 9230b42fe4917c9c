import { DriverError, describeError, nearestName } from "../base/index.ts";
import {
  cacheListOptions,
  cacheOptions,
  cachePruneOptions,
  cacheVerifyOptions,
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
import type { Command } from "./command.ts";
import { commandHelp, overview } from "./command-help.ts";
import type { CommandContext } from "./context.ts";
import { runInspect } from "./inspect.ts";
import { runPull } from "./pull.ts";
import { runServe } from "./serve.ts";
import { runVersion, versionLine } from "./version.ts";

const TREES = "[--FLAG ...] TREE ...";
const FLAGS = "[--FLAG ...]";
const REFERENCE = "[--FLAG ...] REFERENCE";
const ABOUT_TREES = `A TREE is the beginning of an id or of a digest (6 digits or more), or a reference with its
tag: oras-csi cache ls shows them.`;
const ABOUT_REFERENCES = `A REFERENCE is registry/repository[:tag][@digest]; without a tag and a digest it is :latest, and
without a registry docker.io.`;

const CACHE_COMMANDS: Readonly<Record<string, Command>> = {
  ls: {
    summary: "list the trees of the cache: references, digest, size, age, last use, and how many volumes have each",
    usage: FLAGS,
    examples: ["cache ls", "cache ls --volumes --json"],
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
    examples: ["cache prune", "cache prune --older-than 168h"],
    options: cachePruneOptions,
    run: runCachePrune,
  },
  verify: {
    summary: "read all of the cache, compare it with its digests, and trees with what they are made of",
    usage: FLAGS,
    examples: ["cache verify --repair"],
    options: cacheVerifyOptions,
    run: runCacheVerify,
  },
  rm: {
    summary: "remove trees that no volume has",
    usage: TREES,
    about: ABOUT_TREES,
    examples: ["cache rm 2bdc7cd2cfbb", "cache rm ghcr.io/org/model:v1 sha256:c2feb1506de5"],
    options: cacheOptions,
    run: runCacheRemove,
  },
  pin: {
    summary: "keep trees from being collected",
    usage: TREES,
    about: ABOUT_TREES,
    examples: ["cache pin ghcr.io/org/model:v1"],
    options: cacheOptions,
    run: runCachePin,
  },
  unpin: {
    summary: "let pinned trees be collected again",
    usage: TREES,
    about: ABOUT_TREES,
    examples: ["cache unpin ghcr.io/org/model:v1"],
    options: cacheOptions,
    run: runCacheUnpin,
  },
};

const COMMANDS: Readonly<Record<string, Command>> = {
  serve: {
    summary: "run the CSI driver until SIGTERM (also without a command, or with flags alone)",
    usage: FLAGS,
    about: `Each flag can also be set by an environment variable (--log-level by ORAS_CSI_LOG_LEVEL) and by a key of its
own name in the file of --config. A flag wins over the environment, the environment over the file.`,
    examples: ["serve --csi-endpoint=/tmp/oras-csi/csi.sock --data-dir=/tmp/oras-csi/data --log-format=text"],
    options: serveOptions,
    run: runServe,
  },
  inspect: {
    summary: "show what a reference is, and what each of its layers becomes in a volume",
    usage: REFERENCE,
    about: ABOUT_REFERENCES,
    examples: ["inspect ghcr.io/org/model:v1", "inspect --plain-http localhost:5000/team/model --json"],
    options: inspectOptions,
    run: runInspect,
  },
  pull: {
    summary: "put the files of an artifact into a folder, or an artifact into a driver's cache",
    usage: REFERENCE,
    about: ABOUT_REFERENCES,
    examples: [
      "pull ghcr.io/org/model:v1 -o model",
      "pull -u ann --password-stdin registry.example.com/team/model:v1 -o model < password",
      "pull --data-dir=/var/lib/oras-csi --namespace=team-a ghcr.io/org/model:v1",
    ],
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
  if (first === undefined && context.terminalColumns !== undefined) context.writeError(STARTS_DRIVER);
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

/** For people: manifests of the Go driver start it without a command. */
const STARTS_DRIVER = "oras-csi: no command is given, so the driver starts; oras-csi --help lists the commands\n";

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
    writeOutput(overview(COMMANDS));
    return 0;
  }
  const { names, command, argv } = findCommand(words);
  if (argv[0] !== undefined) throw new UsageError(`unexpected argument ${quoted(argv[0])}: help takes one command`);
  writeOutput(commandHelp(names.join(" "), command));
  return 0;
}
