const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPENS: ReadonlySet<number> = new Set([0x5b, 0x7b]);

/**
 * How many values the JSON in these bytes has, roughly, without making any of them: its commas, and what it opens. Few
 * bytes can be many values: 4 MiB of `{}` would take more than 100 MB.
 */
export function countJsonValues(bytes: Uint8Array): number {
  let count = 0;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0;
    if (byte === QUOTE) at = endOfString(bytes, at + 1);
    else if (byte === COMMA || OPENS.has(byte)) count++;
  }
  return count;
}

/** Where the string that began before `from` ends. */
function endOfString(bytes: Uint8Array, from: number): number {
  let at = from;
  while (at < bytes.length && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
  return at;
}
