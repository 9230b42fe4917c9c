/** What a terminal shows in one line. */
const COLUMNS = 80;

/** One line: `start`, as much of `text` as there is room for (the middle is left out), `end`. */
export function fitted(start: string, text: string, end = ""): string {
  const room = COLUMNS - start.length - end.length;
  const parts = printable(text);
  if (parts.join("").length <= room) return start + parts.join("") + end;
  const half = Math.floor((room - 1) / 2);
  const [head, tail] = [firstOf(parts, half), firstOf(parts.toReversed(), half).reverse()];
  return `${start}${head.join("")}…${tail.join("")}${end}`;
}

/** Lines of `items`, the first behind `start`, the others indented; an item too long for a line is shortened. */
export function wrapped(start: string, items: readonly string[], separator = ", "): readonly string[] {
  const lines: string[] = [];
  let line = start;
  let isFirst = true;
  for (const [at, item] of items.entries()) {
    const text = fitted("  ", item).slice(2) + (at === items.length - 1 ? "" : separator);
    if (!isFirst && line.length + text.trimEnd().length > COLUMNS) {
      lines.push(line.trimEnd());
      line = "  ";
    }
    line += text;
    isFirst = false;
  }
  return [...lines, line.trimEnd()];
}

/** The characters of a text; those that would move a terminal's cursor, or turn the line around, are escaped. */
function printable(text: string): readonly string[] {
  // Of a longer text the middle is left out anyway.
  const shown = text.length > 4 * COLUMNS ? text.slice(0, 2 * COLUMNS) + text.slice(-2 * COLUMNS) : text;
  return [...shown].map((character) =>
    character !== " " && /[\p{C}\p{Z}]/u.test(character)
      ? `\\u{${character.codePointAt(0)?.toString(16) ?? ""}}`
      : character,
  );
}

/** The first parts that have at most so many characters together. */
function firstOf(parts: readonly string[], room: number): string[] {
  let length = 0;
  const over = parts.findIndex((part) => {
    length += part.length;
    return length > room;
  });
  return over === -1 ? [...parts] : parts.slice(0, over);
}
