import { LayerIndexReader } from "./layer-index-reader.ts";

/** Most file systems give files whole blocks of this size. */
const BLOCK_BYTES = 4096;

/** What a layer takes on disk, by its index: its files in whole blocks, without holes, and each file, folder and link once. */
export function layerDiskUse(indexFile: string): { readonly bytes: number; readonly inodes: number } {
  using index = new LayerIndexReader(indexFile);
  let [bytes, inodes] = [0, 0];
  for (const row of index.rows()) {
    if (row.isHardLink) continue;
    bytes += Math.ceil(index.heldBytes(row) / BLOCK_BYTES) * BLOCK_BYTES;
    inodes++;
  }
  return { bytes, inodes };
}
