import { DriverError } from "../base/index.ts";

/** A message may hold the names of a layer, an entry and its target. */
const MAX_QUOTED_CHARACTERS = 200;
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * Bytes of a name as text for a message: in quotes, with everything that is no printable UTF-8 escaped, so that two
 * different names never look alike; a long one is shortened in the middle.
 */
export function quoteName(name: Uint8Array): string {
  const half = MAX_QUOTED_CHARACTERS / 2;
  // A character takes four bytes at most.
  const isHuge = name.length > 16 * half;
  const parts = isHuge
    ? [...readable(name.subarray(0, 4 * half)), ...readable(name.subarray(-4 * half))]
    : readable(name);
  const whole = parts.join("");
  if (whole.length <= MAX_QUOTED_CHARACTERS) return `"${whole}"`;
  const end = firstOf(parts.toReversed(), half).reverse().join("");
  return `"${firstOf(parts, half).join("")}…${end}"`;
}

/** The first parts, as long as they have no more than so many characters together. */
function firstOf(parts: readonly string[], maxCharacters: number): string[] {
  let length = 0;
  const over = parts.findIndex((part) => {
    length += part.length;
    return length > maxCharacters;
  });
  return over === -1 ? [...parts] : parts.slice(0, over);
}

/** A "refused" error that names the entry of a tar and says what is wrong with it. */
export function refuseEntry(name: Uint8Array, why: string): DriverError {
  return new DriverError("refused", `cannot unpack tar entry ${quoteName(name)}: ${why}`);
}

/** A "refused" error about a tar as a whole. */
export function refuseTar(why: string, cause?: unknown): DriverError {
  return new DriverError("refused", `cannot unpack the tar: ${why}`, cause);
}

/** The characters of a name, each as it may stand in a message. */
function readable(name: Uint8Array): string[] {
  const parts: string[] = [];
  for (let at = 0; at < name.length; ) {
    const length = characterLength(name, at);
    const bytes = name.subarray(at, at + Math.max(length, 1));
    parts.push(length === 0 ? escapeBytes(bytes) : escapeCharacter(utf8.decode(bytes), bytes));
    at += bytes.length;
  }
  return parts;
}

/** Length of the UTF-8 character that begins at `at`, or 0 if none does. */
function characterLength(name: Uint8Array, at: number): number {
  const first = name[at] ?? 0;
  const length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (length <= 1) return length;
  const text = utf8.decode(name.subarray(at, at + length));
  return at + length <= name.length && [...text].length === 1 && text !== "\ufffd" ? length : 0;
}

function escapeCharacter(character: string, bytes: Uint8Array): string {
  if (character === "\\" || character === '"') return `\\${character}`;
  return character !== " " && /[\p{C}\p{Z}]/u.test(character) ? escapeBytes(bytes) : character;
}

function escapeBytes(bytes: Uint8Array): string {
  return [...bytes].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
}
