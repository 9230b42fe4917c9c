export { HASH_BYTES, type LayerEntryType, type LayerIndex } from "./layer-index.ts";
export { readLayerIndex, writeLayerIndex } from "./layer-index-file.ts";
export { cleanTitle, MAX_DEPTH, MAX_PATH_BYTES, pathBelow } from "./paths.ts";
export { quoteName, refuseEntry } from "./refusal.ts";
export { MAX_ENTRIES, UnpackBudget, type UnpackLimits } from "./unpack-budget.ts";
export { type UnpackedLayer, type UnpackOptions, type UnpackWay, unpackLayer } from "./unpack-layer.ts";
