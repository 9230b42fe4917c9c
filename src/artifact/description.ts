import { DriverError } from "../base/index.ts";
import type { Descriptor, Manifest } from "../oci/index.ts";
import { isImage } from "./image-plan.ts";
import { knownKindOf, type NamedLayer, nameLayers, titleOf } from "./layer-names.ts";
import { placeLayer, planOf } from "./plan.ts";

/** What a manifest is, for people. */
export interface ArtifactDescription {
  /** `Helm chart`, `container image`, `files with titles`, `empty artifact`, `unknown`. */
  readonly kind: string;
  /** What a volume is made of, in the manifest's order; a config that becomes a file comes first. */
  readonly layers: readonly LayerDescription[];
  /** Why no volume can be made of it; undefined: one can. */
  readonly problem: string | undefined;
}

/** What one layer is. */
export interface LayerDescription {
  readonly descriptor: Descriptor;
  /** The title that it has itself. */
  readonly title: string | undefined;
  /** `unpacked`: a tar. `nothing`: it has neither title nor known meaning, or cannot be what its title says. */
  readonly becomes: "file" | "unpacked" | "image layer" | "nothing";
  /** Where in the volume, `.` being its root; undefined for image layers and for nothing. */
  readonly path: string | undefined;
  /** Of a file: its permission bits, where they are not 0644. */
  readonly mode: number | undefined;
}

/** Describes a manifest; `config` has the bytes of `namingConfigOf`. */
export function describeArtifact(manifest: Manifest, config?: Uint8Array): ArtifactDescription {
  const named = nameLayers(manifest, config);
  const asImage = isImage(manifest) && named.every(({ name }) => name === undefined);
  return {
    kind: kindOf(manifest, named, asImage),
    layers: named.map((layer) => describeLayer(layer, asImage)),
    problem: problemOf(manifest, config),
  };
}

function kindOf(manifest: Manifest, named: readonly NamedLayer[], asImage: boolean): string {
  const known = knownKindOf(manifest);
  if (known !== undefined) return known.name;
  if (named.length === 0) return "empty artifact";
  if (asImage) return "container image";
  return named.some(({ descriptor }) => titleOf(descriptor) !== undefined) ? "files with titles" : "unknown";
}

function describeLayer(named: NamedLayer, asImage: boolean): LayerDescription {
  const { descriptor } = named;
  const placed = refusalOr(() => placeLayer(named));
  const about = { descriptor, title: titleOf(descriptor), path: undefined, mode: undefined };
  if (asImage) return { ...about, becomes: "image layer" };
  if (placed === undefined || placed instanceof DriverError) return { ...about, becomes: "nothing" };
  return { ...about, becomes: placed.kind === "folder" ? "unpacked" : "file", path: placed.path, mode: placed.mode };
}

function problemOf(manifest: Manifest, config: Uint8Array | undefined): string | undefined {
  const plan = refusalOr(() => planOf(manifest, { mediaTypes: [], titles: [] }, config));
  return plan instanceof DriverError ? plan.message : undefined;
}

/** The result, or the error that says why there is none. */
function refusalOr<T>(make: () => T): T | DriverError {
  try {
    return make();
  } catch (error) {
    if (error instanceof DriverError) return error;
    throw error;
  }
}
