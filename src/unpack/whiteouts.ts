import type { CleanPath } from "./paths.ts";

/** What an entry of an image's layer says of the layers below it, by its name alone (image-spec 1.1, layer.md, Whiteouts). */
export interface Whiteout {
  /** How many parts of the path lead to the folder that it speaks of. */
  readonly depth: number;
  /** `path`: hides one name in that folder. `folder`: hides all that is in it. `nothing`: old bookkeeping, of no meaning. */
  readonly hides: "path" | "folder" | "nothing";
  /** Where the hidden name lies in the path's bytes. */
  readonly from: number;
  readonly end: number;
}

const PREFIX = Buffer.from(".wh.");
/** The old union file system kept its own things below such names. */
const META_PREFIX = Buffer.from(".wh..wh.");
const OPAQUE = Buffer.from(".wh..wh..opq");
/** What hard links were kept as, in a layer's root: nothing to be seen, but other entries may be links to what is in it. */
const LINK_STORE = Buffer.from(".wh..wh.plnk/");

/**
 * The whiteout that a path of an image's layer is, or is in: whatever its type, it makes nothing. Undefined for the path of
 * a plain entry.
 */
export function findWhiteout({ bytes, ends }: CleanPath): Whiteout | undefined {
  for (let depth = 0, from = 0; depth < ends.length; depth++) {
    const end = ends[depth] ?? 0;
    if (startsWith(bytes, PREFIX, from)) {
      if (!startsWith(bytes, META_PREFIX, from)) return { depth, hides: "path", from: from + PREFIX.length, end };
      const isOpaque = end - from === OPAQUE.length && startsWith(bytes, OPAQUE, from);
      return { depth, hides: isOpaque ? "folder" : "nothing", from, end };
    }
    from = end + 1;
  }
  return undefined;
}

/** Whether a path is that of a file which the old union file system kept for hard links to it. */
export function isInLinkStore({ bytes, ends }: CleanPath): boolean {
  return ends.length === 2 && startsWith(bytes, LINK_STORE, 0);
}

/** Whether a name is never one of a tree's. */
export function isWhiteoutName(name: Buffer): boolean {
  return startsWith(name, PREFIX, 0);
}

function startsWith(bytes: Buffer, prefix: Buffer, from: number): boolean {
  const end = from + prefix.length;
  return end <= bytes.length && bytes.compare(prefix, 0, prefix.length, from, end) === 0;
}
