/** One way in that a server offers (RFC 9110, 11.6.1). */
export interface Challenge {
  /** Lower case. */
  readonly scheme: string;
  /** By lower-case name. A single token68 in their place is dropped: no scheme that we answer has one. */
  readonly parameters: ReadonlyMap<string, string>;
}

const token = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const separators = /[\s,]*/y;
const equals = /\s*=\s*/y;
const quoted = /"((?:[^"\\]|\\[\s\S])*)(?:"|$)/y;
const bare = /[^\s,]*/y;
const token68 = /[ \t]+[A-Za-z0-9._~+/-]+=*(?=\s*(?:,|$))/y;

/**
 * All challenges of an answer's WWW-Authenticate lines, in order. One line may hold several, and commas separate both
 * challenges and parameters: a word followed by `=` is a parameter of the challenge before it, any other word a scheme.
 */
export function parseChallenges(lines: readonly string[]): Challenge[] {
  return lines.flatMap(parseLine);
}

function parseLine(line: string): Challenge[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = [];
  let at = 0;
  const read = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const match = pattern.exec(line);
    if (match !== null) at = pattern.lastIndex;
    return match;
  };
  while (at < line.length) {
    read(separators);
    const word = read(token)?.[0];
    // What is no word is skipped: the rest may still hold a challenge that can be answered.
    if (word === undefined) {
      at++;
      continue;
    }
    const parameters = challenges.at(-1)?.parameters;
    if (parameters !== undefined && read(equals) !== null) {
      const name = word.toLowerCase();
      const value = read(quoted)?.[1]?.replace(/\\([\s\S])/g, "$1") ?? read(bare)?.[0] ?? "";
      if (!parameters.has(name)) parameters.set(name, value);
    } else {
      challenges.push({ scheme: word.toLowerCase(), parameters: new Map() });
      read(token68);
    }
  }
  return challenges;
}
