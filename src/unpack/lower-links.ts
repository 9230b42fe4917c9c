import { Column } from "./column.ts";
import type { LayerIndexReader } from "./layer-index-reader.ts";
import { PathTable } from "./path-table.ts";
import { quoteName, refuseEntry } from "./refusal.ts";

/** How a layer's hard links are looked up in what lies below it. */
export interface LowerLookup {
  /** The row of a name in a folder's row, or undefined if nothing is there. */
  find(folder: number, name: Buffer): number | undefined;
  /** What one of the layer's rows links to; false if nothing can be linked to there. */
  take(link: number, target: number): boolean;
}

/**
 * Looks up what the hard links of a layer lead to, name by name and never through a symlink, before anything of the layer
 * counts: what it hides or replaces can still be linked to. Throws "refused" for a link to what no lower layer has.
 */
export function resolveLowerLinks(index: LayerIndexReader, lookup: LowerLookup): void {
  const below = rowsBelow(index, lookup);
  try {
    let link = 0;
    for (const { type, hashNumber: target } of index.tarRows()) {
      const found = type === "lower-link" ? below.get(target) : undefined;
      if (found !== undefined && (found === 0 || !lookup.take(link, found - 1))) throw unresolved(index, link, target);
      link++;
    }
  } finally {
    below.free();
  }
}

/** For each row of the layer, what is at its path below: a row and 1, or 0. */
function rowsBelow(index: LayerIndexReader, lookup: LowerLookup): Column {
  const below = new Column("u32");
  let number = 0;
  for (const { parent, name } of index.tarRows()) {
    const folder = below.get(parent);
    const found = number === 0 ? 0 : folder === 0 ? undefined : lookup.find(folder - 1, name);
    if (found !== undefined) below.set(number, found + 1);
    number++;
  }
  return below;
}

function unresolved(index: LayerIndexReader, link: number, target: number): Error {
  const paths = new PathTable();
  let isRoot = true;
  for (const { parent, name } of index.tarRows()) {
    if (!isRoot) paths.add(parent, name);
    isRoot = false;
  }
  const where = "is no file before it in its layer, nor one in a lower layer";
  return refuseEntry(paths.path(link), `its target ${quoteName(paths.path(target))} ${where}`);
}
