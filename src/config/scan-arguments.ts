import { type AnyOptionTable, flagName } from "./option.ts";

/** A flag as it stood on the command line. */
export interface WrittenFlag {
  /** Its name without dashes. */
  readonly name: string;
  /** What came after `=` or as the next word; undefined for a flag that stood alone. */
  readonly text: string | undefined;
}

/** A command line taken apart. */
export interface ScannedArguments {
  readonly flags: readonly WrittenFlag[];
  /** What is no flag, and all that comes after `--`. */
  readonly words: readonly string[];
}

/**
 * Takes a command line apart as Go's flag package does: `--x v`, `--x=v`, and both with a single dash; a boolean flag
 * takes no next word; `--` ends the flags. Knows nothing of what is allowed: a flag that is not in the table stands alone.
 */
export function scanArguments(argv: readonly string[], table: AnyOptionTable): ScannedArguments {
  const takesWord = new Set<string>();
  for (const [key, { parser, short = flagName(key) }] of Object.entries(table)) {
    if (!parser.standsAlone) takesWord.add(flagName(key)).add(short);
  }
  const flags: WrittenFlag[] = [];
  const words: string[] = [];
  for (let at = 0; at < argv.length; at++) {
    const argument = argv[at] ?? "";
    if (argument === "--") return { flags, words: [...words, ...argv.slice(at + 1)] };
    const [, name, text] = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(argument) ?? [];
    if (name === undefined) words.push(argument);
    else if (text === undefined && takesWord.has(name)) flags.push({ name, text: argv[++at] });
    else flags.push({ name, text });
  }
  return { flags, words };
}
