import { below } from "../base/index.ts";
import { BLOB_MODE, type Layout } from "../cache/index.ts";
import { LayerIndexReader, LayerMerge, layerBase, movedBelow } from "../unpack/index.ts";
import type { TreePart } from "./verify-calls.ts";

/** A folder of a layer, whose owner and mode a folder of the tree has; undefined: one that is only implied. */
type FolderSource = Buffer | undefined;

/** Something that a tree should have. */
export type TreeEntry =
  | { readonly type: "folder"; readonly path: Buffer; readonly source: FolderSource }
  /** A link to a layer's file or symlink. */
  | { readonly type: "link"; readonly path: Buffer; readonly source: Buffer }
  /** A link to a blob, or a copy of one with another mode. */
  | { readonly type: "blob"; readonly path: Buffer; readonly part: TreePart; readonly mode: number };

const SLASH = Buffer.from("/");
const NOTHING = Buffer.alloc(0);

/**
 * All that one part of an artifact should have made in its tree, a folder before what is in it. A folder may come several
 * times: the last one with a source counts. Throws what reading the part's index throws.
 */
export function* entriesOf(part: TreePart, layout: Layout): Generator<TreeEntry> {
  const { kind, path, descriptor } = part;
  const title = Buffer.from(path === "." ? "" : path);
  if (kind === "file") {
    yield* impliedFolders(title);
    yield { type: "blob", path: title, part, mode: part.mode ?? BLOB_MODE };
    return;
  }
  using index = new LayerIndexReader(layout.layerIndex(descriptor.digest, "artifact"));
  const folder = Buffer.from(layout.layerFolder(descriptor.digest, "artifact"));
  const base = layerBase(index, title, part.movesBelow === true);
  yield* impliedFolders(base);
  const hasRoot = title.length === 0 || base.length > 0;
  for (const row of index.rows()) {
    const source = below(folder, row.path);
    const isImplied = row.mtime === undefined || (row.path.length === 0 && !hasRoot);
    const place = movedBelow(base, row.path);
    if (row.type === "folder") yield { type: "folder", path: place, source: isImplied ? undefined : source };
    else yield { type: "link", path: place, source };
  }
}

/** The same of an image, whose layers are one thing together. */
export function* imageEntries(parts: readonly TreePart[], layout: Layout): Generator<TreeEntry> {
  const merge = new LayerMerge();
  const folders = parts.map(({ descriptor }) => Buffer.from(layout.layerFolder(descriptor.digest, "image")));
  try {
    for (const { descriptor } of parts) {
      using index = new LayerIndexReader(layout.layerIndex(descriptor.digest, "image"));
      merge.add(index);
    }
    for (const { type, path, layer, source: from } of merge.entries()) {
      const source = layer === undefined ? undefined : below(folders[layer] ?? NOTHING, from);
      if (type === "folder") yield { type, path, source };
      else yield { type: "link", path, source: source ?? NOTHING };
    }
  } finally {
    merge.free();
  }
}

/** The folders that a path leads through. */
function* impliedFolders(path: Buffer): Generator<TreeEntry> {
  for (let end = path.indexOf(SLASH); end !== -1; end = path.indexOf(SLASH, end + 1))
    yield { type: "folder", path: path.subarray(0, end), source: undefined };
}
