import { DriverError, type Memory } from "../base/index.ts";
import type { Cache } from "../cache/index.ts";
import { type Descriptor, type Digest, parseManifest } from "../oci/index.ts";
import { errorDuring } from "./error-during.ts";
import { releaseManifest } from "./large-work.ts";
import { namingConfigOf } from "./layer-names.ts";
import type { Plan } from "./placed-layer.ts";
import { planOf } from "./plan.ts";
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

/** A plan, and which config it was made from beside the manifest, if from any. */
export interface ReadPlan extends Plan {
  readonly config: NamingConfig | undefined;
}

type NamingConfig = Pick<Descriptor, "digest" | "size">;

/** The plan needs a config that is not in the cache: it has to be fetched first. */
export class MissingConfig extends DriverError {
  readonly config: NamingConfig;

  constructor(reference: string, config: NamingConfig) {
    super("unavailable", `cannot pull ${reference}: its config ${config.digest} is not in the cache`);
    this.config = config;
  }
}

/**
 * The plan of a manifest that is in the cache. Throws "refused" for what cannot be a tree, "unavailable" if it is gone,
 * `MissingConfig`.
 */
export async function readPlan({ cache, memory, reference, manifest, selection }: PlanSource): Promise<ReadPlan> {
  const bytes = await cache.blobs.read(manifest);
  try {
    const content = bytes === undefined ? undefined : parseManifest(bytes, undefined);
    if (content?.kind === "manifest") {
      const config = namingConfigOf(content);
      const configBytes = config && (await cache.blobs.read(config.digest));
      if (config !== undefined && configBytes === undefined) throw new MissingConfig(reference, config);
      return { ...planFor(reference, () => planOf(content, selection, configBytes)), config };
    }
  } finally {
    if (bytes !== undefined) await releaseManifest(bytes, memory);
  }
  throw new DriverError(
    "unavailable",
    `cannot pull ${reference}: its manifest ${manifest} went from the cache meanwhile`,
  );
}

function planFor(reference: string, plan: () => Plan): Plan {
  try {
    return plan();
  } catch (error) {
    throw errorDuring(`pull ${reference}`, error);
  }
}
