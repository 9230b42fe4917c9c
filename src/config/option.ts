import type { Parser } from "./parsers.ts";

/** One option of a command: all that parsing, `--help`, the environment, the file and the docs know about it. */
export interface Option<Value> {
  /** One sentence for `--help` and the docs: lower-case start, no full stop, no line break. */
  readonly description: string;
  /** Reads the option's text, wherever it stood. */
  readonly parser: Parser<Exclude<Value, undefined>>;
  /** The value when nobody gives one. */
  readonly defaultValue: Value;
  /** The default as a person would write it, or what happens without one. */
  readonly defaultText: string;
  /** A name of one letter, written with one dash. */
  readonly short?: string;
}

/** A command's options by key: an entry for each field of `Values`, of that field's type. */
export type OptionTable<Values> = { readonly [Key in keyof Values]-?: Option<Values[Key]> };

/** What a table of any command has in common, for code that only asks for names and texts. */
export type AnyOptionTable = Readonly<Record<string, Option<unknown>>>;

/** The flag's name, without dashes, and the file's key: `maxPulls` is `max-pulls`. */
export function flagName(key: string): string {
  return key.replaceAll(/[A-Z]/g, (capital) => `-${capital.toLowerCase()}`);
}

/** The environment variable that sets an option: `maxPulls` is `ORAS_CSI_MAX_PULLS`. */
export function environmentName(key: string): string {
  return `ORAS_CSI_${flagName(key).replaceAll("-", "_").toUpperCase()}`;
}
