export type { LayerIndex } from "./layer-index.ts";
export { readLayerIndex, writeLayerIndex } from "./layer-index-file.ts";
export { cleanTitle } from "./paths.ts";
export { quoteName } from "./refusal.ts";
export { MAX_ENTRIES, UnpackBudget } from "./unpack-budget.ts";
export { type UnpackedLayer, type UnpackOptions, unpackLayer } from "./unpack-layer.ts";
