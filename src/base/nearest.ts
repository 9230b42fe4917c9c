/** The one of `names` that `text` was most likely meant to be: one that is near, or the only one that goes on from it. */
export function nearestName(text: string, names: readonly string[]): string | undefined {
  const wanted = text.toLowerCase().slice(0, LONGEST);
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(wanted.length / 3)) + 1;
  for (const name of names) {
    const distance = editDistance(wanted, name.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [name, distance];
  }
  return best ?? onlyOne([...names].filter((name) => wanted !== "" && name.toLowerCase().startsWith(wanted)));
}

function onlyOne(names: readonly string[]): string | undefined {
  return names.length === 1 ? names[0] : undefined;
}

/** Longer input is compared by its beginning only: the cost grows with the product of both lengths. */
const LONGEST = 100;

/** How many letters must be put in, taken out or replaced to turn one text into the other (Levenshtein). */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (const letter of from) {
    let diagonal = row[0] ?? 0;
    const next = [diagonal + 1];
    for (let column = 1; column <= to.length; column++) {
      const above = row[column] ?? 0;
      const left = next[column - 1] ?? 0;
      next.push(letter === to[column - 1] ? diagonal : 1 + Math.min(diagonal, above, left));
      diagonal = above;
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
