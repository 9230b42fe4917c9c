import type { PlacedLayer } from "./placed-layer.ts";

/**
 * The layers that may be taken apart for a tree where the cache is thrown away: each is of use once, and shares no name at
 * the tree's root with another one, which would put its own into what was moved and change its time.
 */
export function spentLayersOf(layers: readonly PlacedLayer[]): ReadonlySet<PlacedLayer> {
  const roots = countsOf(layers.map(({ path }) => rootNameOf(path)));
  const digests = countsOf(layers.map(({ descriptor }) => descriptor.digest));
  // What goes to the root itself may have any name.
  if (layers.length > 1 && roots.has(".")) return new Set();
  return new Set(
    layers.filter(({ path, descriptor }) => roots.get(rootNameOf(path)) === 1 && digests.get(descriptor.digest) === 1),
  );
}

function rootNameOf(path: string): string {
  return path.split("/", 1)[0] ?? path;
}

function countsOf(texts: readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  return counts;
}
