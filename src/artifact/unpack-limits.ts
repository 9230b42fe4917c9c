import { MAX_ENTRIES, type UnpackLimits } from "../unpack/index.ts";
import type { PlacedLayer } from "./placed-layer.ts";

/** Below this tar layers are never too large, whatever their packed size. */
const ALWAYS_ALLOWED_BYTES = 1024 ** 3;

/** How messages call the owner of limits that all tar layers of an artifact obey together. */
export const ALL_TAR_LAYERS = "all tar layers together";

/** What the tar layers among these may unpack to (contract.md, "Limits"); a ratio of 0 turns the limit on bytes off. */
export function unpackLimits(layers: readonly PlacedLayer[], maxUnpackRatio: number): UnpackLimits {
  const tars = layers.filter(({ kind }) => kind !== "file");
  const packedBytes = tars.reduce((sum, { descriptor }) => sum + descriptor.size, 0);
  const maxBytes =
    maxUnpackRatio === 0 ? Number.MAX_SAFE_INTEGER : Math.max(ALWAYS_ALLOWED_BYTES, packedBytes * maxUnpackRatio);
  return { maxBytes, maxEntries: MAX_ENTRIES };
}
