import { counted, DriverError } from "../base/index.ts";
import { annotationKeys, type Digest, type Manifest, parseDigest } from "../oci/index.ts";
import { cleanTitle, quoteName } from "../unpack/index.ts";
import { errorDuring } from "./error-during.ts";
import { fileModeOf } from "./file-mode.ts";
import { imagePlanOf, isImage } from "./image-plan.ts";
import { type NamedLayer, nameLayers } from "./layer-names.ts";
import { type PlacedLayer, type Plan, refuseForeign } from "./placed-layer.ts";
import { type Selection, selects } from "./selection.ts";

/**
 * Decides what an artifact becomes (contract.md, "What an artifact becomes"). `config` has the bytes of `namingConfigOf`.
 * Throws "refused" for what it cannot be.
 */
export function planOf(manifest: Manifest, selection: Selection, config?: Uint8Array): Plan {
  const layers = nameLayers(manifest, config);
  if (layers.length === 0) return { layers: [], skipped: 0 };
  if (!layers.some(({ name }) => name !== undefined)) {
    if (isImage(manifest)) return imagePlanOf(manifest, selection);
    throw notAnArtifact(manifest);
  }
  const placed: PlacedLayer[] = [];
  let skipped = 0;
  for (const named of layers) {
    const layer = placeLayer(named);
    if (layer === undefined) skipped++;
    else if (selects(selection, named.descriptor.mediaType, layer.path)) {
      refuseForeign(named.descriptor, layer.path);
      placed.push(layer);
    }
  }
  refuseCollisions(placed);
  return { layers: placed, skipped };
}

/** What one layer becomes; undefined for one without a name. Throws "refused" for a name that cannot be. */
export function placeLayer({ descriptor, name, isTar, movesBelow }: NamedLayer): PlacedLayer | undefined {
  if (name === undefined) return undefined;
  const path = cleanTitle(name);
  if (!isTar && path === ".")
    throw new DriverError("refused", `a layer's title ${show(name)} names the volume itself, not a file in it`);
  const { digest, size, urls } = descriptor;
  const hasUrls = urls.length > 0 ? { hasUrls: true as const } : {};
  const layer = { descriptor: { digest, size }, path, uncompressedDigest: undefined, ...hasUrls };
  if (!isTar) {
    const mode = fileModeOf(descriptor);
    return { ...layer, kind: "file", ...(mode === undefined ? {} : { mode }) };
  }
  const uncompressed = descriptor.annotations[annotationKeys.uncompressedDigest];
  const uncompressedDigest = uncompressed === undefined ? undefined : uncompressedDigestOf(uncompressed, path);
  return { ...layer, kind: "folder", uncompressedDigest, ...(movesBelow ? { movesBelow } : {}) };
}

function uncompressedDigestOf(text: string, path: string): Digest {
  try {
    return parseDigest(text);
  } catch (error) {
    throw errorDuring(`unpack layer ${show(path)}`, error);
  }
}

/** Refuses two layers that make one file, and a file where another layer needs a folder. */
function refuseCollisions(layers: readonly PlacedLayer[]): void {
  const files = new Set<string>();
  for (const { kind, path } of layers) {
    if (kind === "file" && files.has(path))
      throw new DriverError("refused", `two layers are titled ${show(path)}: one of them would be lost`);
    if (kind === "file") files.add(path);
  }
  for (const { kind, path } of layers) {
    const within = kind === "folder" && files.has(path) ? path : parentsOf(path).find((parent) => files.has(parent));
    if (within !== undefined)
      throw new DriverError("refused", `layer ${show(within)} is a file where layer ${show(path)} needs a folder`);
  }
}

function parentsOf(path: string): readonly string[] {
  const parts = path.split("/");
  return parts.slice(1).map((_, i) => parts.slice(0, i + 1).join("/"));
}

function notAnArtifact(manifest: Manifest): DriverError {
  const found = manifest.layers
    .slice(0, 10)
    .map(
      (layer) => `${layer.mediaType === "" ? "no media type" : show(layer.mediaType)} (${counted(layer.size, "byte")})`,
    );
  const more = manifest.layers.length > found.length ? ` and ${manifest.layers.length - found.length} more` : "";
  const type = manifest.artifactType ?? manifest.config?.mediaType;
  const kind = type === undefined ? "unknown" : show(type);
  return new DriverError(
    "refused",
    `no layer of this artifact of type ${kind} has a title or a known meaning, so there are no names for files; ` +
      `it has ${found.join(", ")}${more}`,
  );
}

/** What an artifact says of itself may be anything, and long. */
function show(text: string): string {
  return quoteName(Buffer.from(text));
}
