import { DriverError } from "../base/index.ts";
import type { Cache, TreeId } from "../cache/index.ts";
import { formatReference, parseReference } from "../oci/index.ts";

/** A tree that somebody named. */
export interface NamedTree {
  readonly id: TreeId;
  readonly references: readonly string[];
}

/** Fewer digits could mean a tag, or a slip of the hand. */
const ID_PREFIX = /^[0-9a-f]{6,64}$/;
const DIGEST_PREFIX = /^sha(256|512):[0-9a-f]{6,128}$/;

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

function namedBy<Tree extends NamedTree & { readonly manifest: string }>(word: string, trees: readonly Tree[]) {
  const reference = normalised(word);
  const byReference = trees.filter(({ references }) => reference !== undefined && references.includes(reference));
  if (byReference.length > 0) return byReference;
  const byPrefix = ID_PREFIX.test(word)
    ? trees.filter(({ id }) => id.startsWith(word))
    : DIGEST_PREFIX.test(word)
      ? trees.filter(({ manifest }) => manifest.startsWith(word))
      : [];
  if (byPrefix.length === 0) {
    throw new DriverError(
      "not-found",
      `no tree in the cache is named by ${JSON.stringify(word.slice(0, 200))}: see oras-csi cache ls for ids, digests and references`,
    );
  }
  const isWhole = byPrefix.some(({ id, manifest }) => id === word || manifest === word);
  if (byPrefix.length > 1 && !isWhole) {
    throw new DriverError("bad-input", `${byPrefix.length} trees begin with ${word}: give more of it`);
  }
  return byPrefix;
}

function normalised(word: string): string | undefined {
  try {
    return formatReference(parseReference(word));
  } catch {
    return undefined;
  }
}
