import type { LayerEntryType, RowFlags } from "./layer-index.ts";

/** What one path of a layer on disk is. */
export interface LayerRow extends RowFacts {
  readonly type: LayerEntryType;
  /** The path from the root, without a slash in front; empty for the root. Valid until the next row is asked for. */
  readonly path: Buffer;
  /** Whether this file shares its content with one of an earlier row. */
  readonly isHardLink: boolean;
  /** Whether it is a file with holes. */
  readonly isSparse: boolean;
}

/** A row as the layer's tar left it: also what is not on disk, but says something of lower layers. */
export interface TarRow extends RowFacts, RowFlags {
  /** The row of the folder that it is in, an earlier one; the root's own is its own. */
  readonly parent: number;
  /** A plain name in that folder; empty for the root. Valid until the next row is asked for. */
  readonly name: Buffer;
}

/** What both say of a row. */
interface RowFacts {
  /** Permission bits as they are on disk. */
  readonly mode: number;
  /** Seconds since 1970; undefined for a folder that the tar has no entry for: paths imply it. */
  readonly mtime: number | undefined;
  /** Bytes of a file's content, 0 for others. */
  readonly size: number;
  /**
   * Where `contentHash` finds the sha256 of a file's content, and `targetHash` that of a symlink's target: the same for all
   * names of one file, 0 for all that has none. Of a "lower-link" the row that it leads to.
   */
  readonly hashNumber: number;
}
