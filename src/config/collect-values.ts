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
function optionKeys<Values>(table: OptionTable<Values>): (keyof Values & string)[] {
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

/** The key of the flag `name`, or of that short name; throws a `UsageError` that lists all names when there is none. */
export function keyOfName<Values>(
  table: OptionTable<Values>,
  name: string,
  refuse: (known: readonly string[]) => UsageError,
): keyof Values & string {
  const keys = optionKeys(table);
  const found = keys.find((key) => flagName(key) === name || table[key].short === name);
  if (found === undefined) throw refuse(keys.map(flagName));
  return found;
}

/**
 * Defaults overlaid with what each source gives, the one that wins last. Of several texts for one option in one source
 * the last counts, or they add up where the option says so. Each must be allowed, also one that does not count.
 */
export function collectValues<Values>(
  table: OptionTable<Values>,
  sources: readonly (readonly GivenText<Values>[])[],
): Values {
  const values = {} as { -readonly [Key in keyof Values]: Values[Key] };
  for (const key of optionKeys(table)) values[key] = table[key].defaultValue;
  for (const texts of sources) Object.assign(values, valuesOf(table, texts));
  return values;
}

function valuesOf<Values>(table: OptionTable<Values>, texts: readonly GivenText<Values>[]): Partial<Values> {
  const values: Partial<Values> = {};
  for (const { key, text, source } of texts) {
    const { parser } = table[key];
    const value = parseText(parser, text, source);
    const earlier = values[key] as typeof value | undefined;
    values[key] = earlier === undefined || parser.add === undefined ? value : parser.add(earlier, value);
  }
  return values;
}

/** What `text` means to `parser`; throws a `UsageError` that names `source` and says what is allowed. */
export function parseText<Value>(parser: Parser<Value>, text: string, source: string): Value {
  const value = parser.parse(text);
  if (value === undefined) throw new UsageError(`bad value ${quoted(text)} for ${source}: must be ${parser.allowed}`);
  return value;
}
