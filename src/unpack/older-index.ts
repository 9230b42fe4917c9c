import { closeSync, readSync } from "node:fs";
import { isUnreadable } from "../base/index.ts";
import { INDEX_MAGIC, openLayerIndex } from "./layer-index-file.ts";

const NAME_BYTES: number = INDEX_MAGIC.length - 1;

/** Whether an index is of a format before this one: its layer is of no use, and is unpacked anew when it is needed. */
export function isOlderIndex(path: string): boolean {
  const begin = Buffer.alloc(INDEX_MAGIC.length);
  try {
    const file = openLayerIndex(path);
    try {
      readSync(file, begin, 0, begin.length, 0);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    // Whoever reads it tells what is wrong with it.
    if (!isUnreadable(error)) throw error;
    return false;
  }
  const [format = 0, ours = 0] = [begin[NAME_BYTES], INDEX_MAGIC[NAME_BYTES]];
  return begin.subarray(0, NAME_BYTES).equals(INDEX_MAGIC.subarray(0, NAME_BYTES)) && format >= 1 && format < ours;
}
