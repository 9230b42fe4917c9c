/**
 * Whether a glob matches a whole title: `*` stays within one part of the path, `**` crosses parts, `?` is any one
 * character but `/`. The work grows with pattern times title, never faster: pods write patterns, and a regular
 * expression made from one could be made to run for hours.
 */
export function matchesGlob(pattern: string, title: string): boolean {
  const tokens = tokensOf(pattern);
  let states = new Set([0]);
  for (const char of title) {
    states = step(tokens, withSkips(tokens, states), char);
    if (states.size === 0) return false;
  }
  return withSkips(tokens, states).has(tokens.length);
}

type Token =
  | { readonly kind: "literal"; readonly char: string }
  | { readonly kind: "one" | "part" | "path" | "folders" };

function tokensOf(pattern: string): readonly Token[] {
  const tokens: Token[] = [];
  for (const [text] of pattern.matchAll(/\*\*\/|\*\*|\*|\?|[\s\S]/gu)) {
    if (text === "**/") tokens.push({ kind: "folders" });
    else if (text === "**") tokens.push({ kind: "path" });
    else if (text === "*") tokens.push({ kind: "part" });
    else tokens.push(text === "?" ? { kind: "one" } : { kind: "literal", char: text });
  }
  return tokens;
}

/** Adds the states that are reached without a character: all stars match nothing, too. */
function withSkips(tokens: readonly Token[], states: ReadonlySet<number>): Set<number> {
  const all = new Set(states);
  for (const state of all) {
    const kind = tokens[state]?.kind;
    if (kind === "part" || kind === "path" || kind === "folders") all.add(state + 1);
  }
  return all;
}

/** A state is a token's place; within the folders of a `**\/`, where only a `/` leads on, it is the place's complement. */
function step(tokens: readonly Token[], states: ReadonlySet<number>, char: string): Set<number> {
  const next = new Set<number>();
  for (const state of states) {
    const token = tokens[state < 0 ? ~state : state];
    if (token === undefined) continue;
    if (token.kind === "literal") {
      if (token.char === char) next.add(state + 1);
    } else if (token.kind === "folders")
      next.add(char === "/" ? (state < 0 ? ~state : state) : state < 0 ? state : ~state);
    else if (token.kind === "path") next.add(state);
    else if (char !== "/") next.add(token.kind === "one" ? state + 1 : state);
  }
  return next;
}
