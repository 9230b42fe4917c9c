import { DriverError, type Memory } from "../base/index.ts";
import type { Cache } from "../cache/index.ts";
import { type Digest, type Manifest, parseManifest } from "../oci/index.ts";
import { errorDuring } from "./error-during.ts";
import { releaseManifest } from "./large-work.ts";
import { type Plan, planOf } from "./plan.ts";
import type { Selection } from "./selection.ts";

/** What a plan is made from. */
export interface PlanSource {
  readonly cache: Cache;
  readonly memory: Memory;
  /** What messages call the artifact. */
  readonly reference: string;
  readonly manifest: Digest;
  readonly selection: Selection;
}

/** The plan of a manifest that is in the cache. Throws "refused" for what cannot be a tree, "unavailable" if it is gone. */
export async function readPlan({ cache, memory, reference, manifest, selection }: PlanSource): Promise<Plan> {
  const bytes = await cache.blobs.read(manifest);
  try {
    const content = bytes === undefined ? undefined : parseManifest(bytes, undefined);
    if (content?.kind === "manifest") return planFor(reference, content, selection);
  } finally {
    if (bytes !== undefined) releaseManifest(bytes, memory);
  }
  throw new DriverError(
    "unavailable",
    `cannot pull ${reference}: its manifest ${manifest} went from the cache meanwhile`,
  );
}

function planFor(reference: string, manifest: Manifest, selection: Selection): Plan {
  try {
    return planOf(manifest, selection);
  } catch (error) {
    throw errorDuring(`pull ${reference}`, error);
  }
}
