import { nearestName } from "../base/index.ts";
import { type GivenText, keyOfName } from "./collect-values.ts";
import type { OptionTable } from "./option.ts";
import { scanArguments } from "./scan-arguments.ts";
import { quoted, UsageError } from "./usage-error.ts";

/** What a command line says, each flag with the key that it sets. */
export interface FlagTexts<Values> {
  readonly texts: readonly GivenText<Values>[];
  /** What is no flag. */
  readonly words: readonly string[];
}

/** Takes a command line apart by a table; throws a `UsageError` for a flag that is not in it or lacks its value. */
export function flagTexts<Values>(argv: readonly string[], table: OptionTable<Values>): FlagTexts<Values> {
  const { flags, words } = scanArguments(argv, table);
  const texts = flags.map(({ name, text }) => {
    const key = keyOfName(table, name, (known) => unknownName("flag", name, known));
    const { parser } = table[key];
    const source = name.length === 1 ? `-${name}` : `--${name}`;
    if (text === undefined && !parser.standsAlone) {
      throw new UsageError(`${source} needs a value: must be ${parser.allowed}`);
    }
    return { key, text: text ?? "true", source };
  });
  return { texts, words };
}

/** What is said of a flag, or of a key of a file, that there is none of. */
export function unknownName(what: "flag" | "key", name: string, known: readonly string[], where = ""): UsageError {
  const dashes = what === "flag" ? "--" : "";
  const written = what === "flag" && name.length === 1 ? `-${name}` : `${dashes}${name}`;
  const names = what === "flag" ? known : known.filter((each) => each !== "config");
  const near = nearestName(name, names);
  const hint = near === undefined ? "" : ` (did you mean ${dashes}${near}?)`;
  const allowed = names.map((each) => dashes + each).join(", ");
  return new UsageError(`unknown ${what} ${quoted(written)}${where}${hint}; allowed: ${allowed}`);
}
