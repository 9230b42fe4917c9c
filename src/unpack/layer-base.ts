import { below } from "../base/index.ts";
import type { LayerIndexReader } from "./layer-index-reader.ts";
import { requirePathLimits } from "./paths.ts";

const SLASH = Buffer.from("/");
const ROOT = Buffer.alloc(0);

/**
 * The folder of an artifact's tree, empty for its root, that a layer's paths start from: the root, unless the layer moves
 * below its title (empty for the root, too) and none of its entries begins with that.
 */
export function layerBase(index: LayerIndexReader, title: Buffer, movesBelow: boolean): Buffer {
  return movesBelow && !beginsWith(index, title) ? title : ROOT;
}

/** An entry's path in the tree. Throws "refused" where the folder makes it too long or too deep. */
export function movedBelow(base: Buffer, path: Buffer): Buffer {
  if (base.length === 0) return path;
  return path.length === 0 ? base : requirePathLimits(below(base, path));
}

/** Whether a path is in a folder, or further down. */
export function isBelow(path: Buffer, folder: Buffer): boolean {
  const { length } = folder;
  return path.length > length && path[length] === SLASH[0] && path.compare(folder, 0, length, 0, length) === 0;
}

/** Whether any entry is at or below the path: then all of them are meant to start from the tree's root. */
function beginsWith(index: LayerIndexReader, title: Buffer): boolean {
  for (const { path } of index.rows()) if (path.equals(title) || isBelow(path, title)) return true;
  return false;
}
