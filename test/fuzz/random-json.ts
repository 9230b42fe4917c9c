import type { Prng } from "../helpers/prng.ts";

/** Values that a field rarely has. Texts of JSON, since some cannot be made any other way. */
const oddValues = [
  "null",
  "true",
  "0",
  "-0",
  "-1",
  "1.5",
  "1e400",
  "9007199254740993",
  "[]",
  "{}",
  "[[]]",
  "[null]",
  '""',
  '"\\u0000"',
  '"\\ud800"',
  '{"__proto__":{"polluted":1}}',
  '{"toString":null,"length":-1}',
  `"${"x".repeat(5000)}"`,
  `${"[".repeat(5000)}${"]".repeat(5000)}`,
  `${'{"a":'.repeat(5000)}1${"}".repeat(5000)}`,
] as const;
const oddKeys = ["__proto__", "constructor", "toString", "", "mediaType", "digest", "\u0000"] as const;

/**
 * The text of a JSON value with some of its values changed: replaced by odd ones or by `words`, removed, doubled, moved
 * to another key. `perMille` of all values are.
 */
export function mutateJson(
  value: unknown,
  words: readonly [string, ...string[]],
  perMille: number,
  prng: Prng,
): string {
  const mutated = (inner: unknown) => mutateJson(inner, words, perMille, prng);
  if (prng.below(1000) < perMille) return prng.oneIn(3) ? JSON.stringify(prng.pick(words)) : prng.pick(oddValues);
  if (Array.isArray(value)) {
    const items = value.flatMap((item) =>
      repeated(prng.below(1000) < perMille ? prng.length(50) : 1, () => mutated(item)),
    );
    return `[${items.join(",")}]`;
  }
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const fields = Object.entries(value).flatMap(([key, inner]) => {
    const name = prng.below(1000) < perMille ? prng.pick(oddKeys) : key;
    const times = prng.below(1000) < perMille ? prng.below(3) : 1;
    return repeated(times, () => `${JSON.stringify(name)}:${mutated(inner)}`);
  });
  return `{${fields.join(",")}}`;
}

function repeated(times: number, make: () => string): string[] {
  return Array.from({ length: times }, make);
}
