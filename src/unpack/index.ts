export { PACKING_BYTES, packingFrom } from "./decompress.ts";
export { checkLayer, type LayerFault } from "./layer-check.ts";
export { writeLayerIndex } from "./layer-index-file.ts";
export { layerDiskUse } from "./layer-disk-use.ts";
export { LayerIndexReader, type LayerRow } from "./layer-index-reader.ts";
export { cleanTitle, requirePathLimits } from "./paths.ts";
export { quoteName } from "./refusal.ts";
export { MAX_ENTRIES, UnpackBudget, type UnpackLimits } from "./unpack-budget.ts";
export { type UnpackedLayer, type UnpackOptions, unpackLayer } from "./unpack-layer.ts";
