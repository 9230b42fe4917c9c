import { counted, DriverError } from "../base/index.ts";
import {
  type Descriptor,
  type Digest,
  formatReference,
  type Index,
  nestedIndexes,
  type Platform,
  type Reference,
  selectPlatform,
} from "../oci/index.ts";
import type { KnownManifest } from "./cached-manifests.ts";

/** Which of an index's manifests is wanted, and where they are. */
export interface IndexSearch {
  readonly reference: Reference;
  readonly platform: Platform;
  /** Reads what an index names. */
  readonly find: (entry: Descriptor) => Promise<KnownManifest>;
}

/** An index in an index in an index is still followed; more is a loop or a joke. */
const MAX_INDEX_DEPTH = 4;
/** Indexes without a platform in one that has nothing for it: so many are looked into. */
const MAX_NESTED_INDEXES = 16;

/** One way through indexes. */
interface Search extends Omit<IndexSearch, "reference"> {
  /** What messages call the reference. */
  readonly what: string;
  /** Indexes that may still be looked into. */
  left: number;
}

/**
 * The manifest that a reference means: what it names, or the index's for the platform, or the first of one that is in an
 * index in it. Throws "not-found" if there is none for the platform, "refused" or "corrupt" for indexes that cannot be
 * followed.
 */
export function manifestFor(named: KnownManifest, { reference, platform, find }: IndexSearch): Promise<Digest> {
  return descend(named, { platform, find, what: formatReference(reference), left: MAX_NESTED_INDEXES }, 0);
}

async function descend({ digest, index }: KnownManifest, search: Search, depth: number): Promise<Digest> {
  if (index === undefined) return digest;
  const { what } = search;
  if (depth === MAX_INDEX_DEPTH) throw new DriverError("refused", `${what} is an index of indexes, too deep to follow`);
  // Not the index itself: it may be large, and the registry slow.
  const { entry, missing, nested } = entriesFor(index, search);
  const next = async (one: Descriptor) => {
    const known = await search.find(one);
    requireSize(known, one, what);
    return descend(known, search, depth + 1);
  };
  if (entry !== undefined) return await next(entry);
  let why = missing;
  for (const one of nested) {
    if (search.left-- <= 0) break;
    try {
      return await next(one);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      // It says what there is.
      why = error;
    }
  }
  throw why;
}

/** An index that is wrong about the size of what it names is as wrong as one that misses its digest. */
function requireSize({ digest, size }: KnownManifest, entry: Descriptor, what: string): void {
  if (size === entry.size) return;
  throw new DriverError(
    "corrupt",
    `cannot pull ${what}: the manifest ${digest} has ${counted(size, "byte")} where its index says ${entry.size}`,
  );
}

/** The entry for the platform, or why there is none and where else it may be. */
function entriesFor(
  index: Index,
  { platform, what }: Search,
): { readonly entry?: Descriptor; readonly missing?: unknown; readonly nested: readonly Descriptor[] } {
  try {
    return { entry: selectPlatform(index, platform, what), nested: [] };
  } catch (missing) {
    return { missing, nested: nestedIndexes(index).slice(0, MAX_NESTED_INDEXES) };
  }
}

function isNotFound(error: unknown): boolean {
  return error instanceof DriverError && error.kind === "not-found";
}
