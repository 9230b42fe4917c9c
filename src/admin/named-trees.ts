import { DriverError } from "../base/index.ts";
import type { Cache, TreeId } from "../cache/index.ts";
import { formatReference, parseReference } from "../oci/index.ts";

/** A tree that somebody named. */
export interface NamedTree {
  readonly id: TreeId;
  readonly references: readonly string[];
}

/** Fewer digits could mean a tag, or a slip of the hand. */
const FEWEST_DIGITS = 6;
const HEX = /^(?:(?<algorithm>sha256|sha512):)?(?<digits>[0-9a-f]{1,128})$/i;
/** How many references or ids a message names. */
const MOST_NAMED = 5;

/**
 * The trees that words name: the beginning of an id or of a manifest's digest, which must be clear, or a reference, which
 * may name several. Throws "not-found" for a word that names none, "bad-input" for one that is unclear.
 */
export async function findNamedTrees(cache: Cache, words: readonly string[]): Promise<readonly NamedTree[]> {
  await cache.inventory.load();
  const trees: (NamedTree & { readonly manifest: string })[] = [];
  for (const { id, manifest } of cache.inventory.byLastUse()) {
    trees.push({ id, manifest, references: (await cache.trees.record(id))?.references ?? [] });
  }
  const found = new Map<TreeId, NamedTree>();
  for (const word of words) {
    for (const { id, references } of namedBy(word, trees)) found.set(id, { id, references });
  }
  return [...found.values()];
}

type Candidate = NamedTree & { readonly manifest: string };

function namedBy(word: string, trees: readonly Candidate[]): readonly Candidate[] {
  const reference = normalised(word);
  const byReference = trees.filter(({ references }) => reference !== undefined && references.includes(reference));
  if (byReference.length > 0) return byReference;
  const hex = HEX.exec(word)?.groups;
  if (hex === undefined) throw namesNone(word, hintFrom(word, reference, trees));
  if ((hex["digits"] ?? "").length < FEWEST_DIGITS) {
    throw namesNone(
      word,
      `: of an id or a digest, ${FEWEST_DIGITS} digits or more are needed; oras-csi cache ls shows them`,
    );
  }
  return byBeginning(word.toLowerCase(), trees);
}

/** The tree whose id, or all trees whose manifest's digest, is or clearly begins with these digits. */
function byBeginning(digits: string, trees: readonly Candidate[]): readonly Candidate[] {
  const namesOf = ({ id, manifest }: Candidate) => [id, manifest, manifest.slice(manifest.indexOf(":") + 1)];
  const found = trees.filter((tree) => namesOf(tree).some((name) => name.startsWith(digits)));
  if (found.length === 0) throw namesNone(digits, SEE_LIST);
  const isWhole = found.some((tree) => namesOf(tree).includes(digits));
  if (found.length > 1 && !isWhole) {
    const ids = found.slice(0, MOST_NAMED).map(({ id }) => id);
    const shown = `${ids.join(", ")}${found.length > ids.length ? ", ..." : ""}`;
    throw new DriverError("bad-input", `${found.length} trees begin with ${digits}: give more of one's id: ${shown}`);
  }
  return found;
}

const SEE_LIST = ": see oras-csi cache ls for ids, digests and references";

function namesNone(word: string, hint: string): DriverError {
  return new DriverError("not-found", `no tree in the cache is named by ${JSON.stringify(word.slice(0, 200))}${hint}`);
}

/** What a word was taken for that may have been meant as a reference, and what there is of its repository. */
function hintFrom(word: string, reference: string | undefined, trees: readonly Candidate[]): string {
  if (reference === undefined) return SEE_LIST;
  const meaning = reference === word ? "" : `, which means ${reference}`;
  const repository = repositoryOf(reference);
  const near = trees.flatMap(({ references }) => references).filter((each) => repositoryOf(each) === repository);
  const names = [...new Set(near)].sort();
  if (names.length === 0) return `${meaning}${SEE_LIST}`;
  const shown = names.slice(0, MOST_NAMED).join(", ");
  return `${meaning}; of its repository there are ${shown}${names.length > MOST_NAMED ? ", ..." : ""}`;
}

/** A normalised reference without its tag and digest. */
function repositoryOf(reference: string): string {
  return reference.replace(/@.*$/, "").replace(/:[^:/]*$/, "");
}

function normalised(word: string): string | undefined {
  try {
    return formatReference(parseReference(word));
  } catch {
    return undefined;
  }
}
