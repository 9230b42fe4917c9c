import { sha256Of } from "./registry-content.ts";

/** A blob with what a descriptor says about it. */
export interface BuiltLayer {
  readonly mediaType: string;
  readonly digest: string;
  readonly bytes: Buffer;
  readonly annotations: Readonly<Record<string, string>>;
}

/** A manifest or an index, ready to be pushed. */
export interface BuiltManifest {
  readonly mediaType: string;
  readonly digest: string;
  readonly bytes: Buffer;
  /** What a manifest refers to, config included. */
  readonly blobs: readonly BuiltLayer[];
  /** What an index refers to. */
  readonly children: readonly BuiltManifest[];
}

/** A platform as an index entry has it. */
export interface BuiltPlatform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}

export const TITLE = "org.opencontainers.image.title";
const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";
const INDEX_TYPE = "application/vnd.oci.image.index.v1+json";
const LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar";

/** Any layer, as it is told. */
export function layer(bytes: Uint8Array, mediaType: string, annotations: Record<string, string> = {}): BuiltLayer {
  const kept = Buffer.from(bytes);
  return { mediaType, digest: sha256Of(kept), bytes: kept, annotations };
}

/** A file as `oras push` makes a layer of it; its default media type names a tar although there is none. */
export function fileLayer(title: string, content: string | Uint8Array, mediaType = LAYER_TYPE): BuiltLayer {
  return layer(Buffer.from(content), mediaType, { [TITLE]: title });
}

/** An artifact: a manifest with the empty config. */
export function artifact(
  layers: readonly BuiltLayer[],
  options: { readonly artifactType?: string; readonly annotations?: Record<string, string> } = {},
): BuiltManifest {
  const artifactType = options.artifactType ?? "application/vnd.unknown.artifact.v1";
  const config = layer(Buffer.from("{}"), "application/vnd.oci.empty.v1+json");
  return manifest(config, layers, { artifactType, annotations: options.annotations });
}

/** An artifact whose config is its own; annotations are the manifest's. */
export function configuredArtifact(
  config: BuiltLayer,
  layers: readonly BuiltLayer[],
  more: { readonly artifactType?: string; readonly annotations?: Record<string, string> } = {},
): BuiltManifest {
  return manifest(config, layers, { ...more });
}

/** A container image of the given layer tars, gzipped already, each with the digest of its uncompressed form. */
export function image(layers: readonly { readonly packed: Buffer; readonly diffId: string }[]): BuiltManifest {
  const config = {
    architecture: "amd64",
    os: "linux",
    rootfs: { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) },
  };
  const configLayer = layer(Buffer.from(JSON.stringify(config)), "application/vnd.oci.image.config.v1+json");
  return manifest(
    configLayer,
    layers.map(({ packed }) => layer(packed, `${LAYER_TYPE}+gzip`)),
    {},
  );
}

/** An index over manifests, one for each platform. */
export function index(
  entries: readonly { readonly manifest: BuiltManifest; readonly platform: BuiltPlatform }[],
): BuiltManifest {
  const document = {
    schemaVersion: 2,
    mediaType: INDEX_TYPE,
    manifests: entries.map(({ manifest: { mediaType, digest, bytes }, platform }) => {
      return { mediaType, digest, size: bytes.length, platform };
    }),
  };
  return built(
    INDEX_TYPE,
    document,
    [],
    entries.map((entry) => entry.manifest),
  );
}

/** A manifest whose document is the caller's, word for word: for what no tool would push. */
export function rawManifest(document: unknown, blobs: readonly BuiltLayer[], mediaType = MANIFEST_TYPE): BuiltManifest {
  return built(mediaType, document, blobs, []);
}

function manifest(config: BuiltLayer, layers: readonly BuiltLayer[], more: Record<string, unknown>): BuiltManifest {
  const document = {
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    ...more,
    config: descriptor(config),
    layers: layers.map(descriptor),
  };
  return built(MANIFEST_TYPE, document, [config, ...layers], []);
}

function descriptor({ mediaType, digest, bytes, annotations }: BuiltLayer): Record<string, unknown> {
  const extra = Object.keys(annotations).length === 0 ? {} : { annotations };
  return { mediaType, digest, size: bytes.length, ...extra };
}

function built(
  mediaType: string,
  document: unknown,
  blobs: readonly BuiltLayer[],
  children: readonly BuiltManifest[],
): BuiltManifest {
  const bytes = Buffer.from(JSON.stringify(document));
  return { mediaType, digest: sha256Of(bytes), bytes, blobs, children };
}
