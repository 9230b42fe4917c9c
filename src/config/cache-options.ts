import { posix } from "node:path";
import { collectValues, environmentTexts } from "./collect-values.ts";
import { flagTexts } from "./flag-texts.ts";
import type { Option, OptionTable } from "./option.ts";
import { boolean, duration, path } from "./parsers.ts";
import { DEFAULT_DATA_DIR } from "./serve-options.ts";
import { quoted, UsageError } from "./usage-error.ts";

/** What the flags say that all commands on a cache have. */
export interface CacheValues {
  readonly dataDir: string;
  readonly json: boolean;
}

const dataDir: Option<string> = {
  description: "folder of the cache; $ORAS_CSI_DATA_DIR counts, too",
  parser: path(),
  defaultValue: DEFAULT_DATA_DIR,
  defaultText: DEFAULT_DATA_DIR,
};

/** The options that all commands on a cache have. */
export const cacheOptions: OptionTable<CacheValues> = {
  dataDir,
  json: flag("JSON instead of text"),
};

/** The options of `cache ls`. */
export const cacheListOptions: OptionTable<CacheValues & { readonly volumes: boolean }> = {
  ...cacheOptions,
  volumes: flag("published volumes instead of trees: pod, reference, digest"),
};

/** The options of `cache verify`. */
export const cacheVerifyOptions: OptionTable<CacheValues & { readonly repair: boolean }> = {
  ...cacheOptions,
  repair: flag("move wrong files aside, and put trees together again from what is right"),
};

/** The options of `cache prune`. */
export const cachePruneOptions: OptionTable<
  CacheValues & { readonly all: boolean; readonly olderThan: number | undefined }
> = {
  ...cacheOptions,
  all: flag("pinned trees, too"),
  olderThan: {
    description: "only trees that no volume began or ceased to have for so long, and nothing else",
    parser: duration(),
    defaultValue: undefined,
    defaultText: "unset",
  },
};

/** What a command line is read from. */
export interface CacheInput {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Absolute folder that relative paths start from. */
  readonly cwd: string;
}

/** Reads a command line of flags and trees; `takes` says how many trees. Throws a `UsageError`. */
export function parseCacheCommand<Values extends CacheValues>(
  table: OptionTable<Values>,
  { argv, env, cwd }: CacheInput,
  takes: "no trees" | "trees",
): { readonly values: Values; readonly words: readonly string[] } {
  const { texts, words } = flagTexts(argv, table);
  const [first] = words;
  if (takes === "no trees" && first !== undefined) {
    throw new UsageError(`unexpected argument ${quoted(first)}: only flags are allowed here`);
  }
  if (takes === "trees" && first === undefined) {
    throw new UsageError("no tree is named: give the beginning of its id, its digest or its reference (cache ls)");
  }
  const fromEnvironment = environmentTexts<Pick<CacheValues, "dataDir">>({ dataDir }, env);
  const values = collectValues<Values>(table, [fromEnvironment, texts]);
  return { values: { ...values, dataDir: posix.resolve(cwd, values.dataDir) }, words };
}

function flag(description: string): Option<boolean> {
  return { description, parser: boolean(), defaultValue: false, defaultText: "false" };
}
