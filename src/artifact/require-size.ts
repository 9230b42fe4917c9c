import { counted, DriverError } from "../base/index.ts";
import type { PlacedLayer } from "./placed-layer.ts";
import { formatBytes } from "./progress.ts";

/** Throws "no-space" where the layers that are wanted are larger, all together, than the node takes. */
export function requireSize(reference: string, layers: readonly PlacedLayer[], maxBytes: number | undefined): void {
  const bytes = layers.reduce((sum, { descriptor }) => sum + descriptor.size, 0);
  if (maxBytes === undefined || bytes <= maxBytes) return;
  throw new DriverError(
    "no-space",
    `cannot pull ${reference}: its layers have ${formatBytes(bytes)} (${counted(bytes, "byte")}), ` +
      `and --max-artifact-bytes of this node is ${formatBytes(maxBytes)} (${counted(maxBytes, "byte")})`,
  );
}
