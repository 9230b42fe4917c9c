export { BLOB_MODE, Blobs } from "./blobs.ts";
export { Cache, type CacheOptions } from "./cache.ts";
export { lockDataDir } from "./data-dir-lock.ts";
export { hasLayer, type StagedLayer } from "./layers.ts";
export { createLayout, type Layout, type TreeId, type UnpackWay } from "./layout.ts";
export { type StateFiles, textAt } from "./state-file.ts";
export type { Tree } from "./trees.ts";
