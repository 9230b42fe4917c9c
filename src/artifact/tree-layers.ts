import { DriverError, type Memory } from "../base/index.ts";
import type { Cache, TreeId } from "../cache/index.ts";
import type { PlacedLayer } from "./placed-layer.ts";
import { readPlan } from "./read-plan.ts";
import { recipeFromJson } from "./tree-recipe.ts";

/** Where layers of trees are looked for. */
export interface TreeLayersSource {
  readonly cache: Cache;
  readonly memory: Memory;
}

/** The layers that a tree is made of, in their order; undefined if the cache lacks what says it. */
export async function layersOfTree(
  { cache, memory }: TreeLayersSource,
  id: TreeId,
): Promise<readonly PlacedLayer[] | undefined> {
  const record = await cache.trees.record(id);
  const recipe = recipeFromJson(record?.recipe);
  if (record === undefined || recipe === undefined) return undefined;
  const { reference, selection } = recipe;
  try {
    return (await readPlan({ cache, memory, reference, manifest: record.manifest, selection })).layers;
  } catch (error) {
    if (error instanceof DriverError) return undefined;
    throw error;
  }
}
