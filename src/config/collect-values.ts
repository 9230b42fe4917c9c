import { environmentName, flagName, type OptionTable } from "./option.ts";
import type { Parser } from "./parsers.ts";
import { quoted, UsageError } from "./usage-error.ts";

/** An option's text and where it stood, for messages. */
export interface GivenText<Values> {
  readonly key: keyof Values & string;
  readonly text: string;
  readonly source: string;
}

/** The keys of a table, in its order. */
export function optionKeys<Values>(table: OptionTable<Values>): (keyof Values & string)[] {
  return Object.keys(table) as (keyof Values & string)[];
}

/** What the environment says; variables of other names, and empty ones, are ignored. */
export function environmentTexts<Values>(
  table: OptionTable<Values>,
  env: Readonly<Record<string, string | undefined>>,
): GivenText<Values>[] {
  return optionKeys(table).flatMap((key) => {
    const source = environmentName(key);
    const text = env[source];
    return text === undefined || text === "" ? [] : [{ key, text, source }];
  });
}

/** The key of the flag `name`; throws a `UsageError` that lists all names when there is none. */
export function keyOfName<Values>(
  table: OptionTable<Values>,
  name: string,
  refuse: (known: readonly string[]) => UsageError,
): keyof Values & string {
  const keys = optionKeys(table);
  const found = keys.find((key) => flagName(key) === name);
  if (found === undefined) throw refuse(keys.map(flagName));
  return found;
}

/** Defaults overlaid with what was given; of several texts for one option the last counts, and each must be allowed. */
export function collectValues<Values>(table: OptionTable<Values>, given: Iterable<GivenText<Values>>): Values {
  const values = {} as { -readonly [Key in keyof Values]: Values[Key] };
  for (const key of optionKeys(table)) values[key] = table[key].defaultValue;
  for (const { key, text, source } of given) values[key] = parseText(table[key].parser, text, source);
  return values;
}

/** What `text` means to `parser`; throws a `UsageError` that names `source` and says what is allowed. */
export function parseText<Value>(parser: Parser<Value>, text: string, source: string): Value {
  const value = parser.parse(text);
  if (value === undefined) throw new UsageError(`bad value ${quoted(text)} for ${source}: must be ${parser.allowed}`);
  return value;
}
