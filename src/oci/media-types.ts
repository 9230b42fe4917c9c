/** Media types and annotation keys that the driver knows by name (image-spec 1.1, media-types.md; ORAS conventions). */
export const mediaTypes = {
  manifest: "application/vnd.oci.image.manifest.v1+json",
  index: "application/vnd.oci.image.index.v1+json",
  artifactManifest: "application/vnd.oci.artifact.manifest.v1+json",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerIndex: "application/vnd.docker.distribution.manifest.list.v2+json",
  imageConfig: "application/vnd.oci.image.config.v1+json",
  dockerImageConfig: "application/vnd.docker.container.image.v1+json",
  empty: "application/vnd.oci.empty.v1+json",
} as const;

/** Annotation keys on layers; a chart's manifest has a title and a version, too. */
export const annotationKeys = {
  title: "org.opencontainers.image.title",
  version: "org.opencontainers.image.version",
  unpack: "io.deis.oras.content.unpack",
  uncompressedDigest: "io.deis.oras.content.digest",
  filepath: "org.cncf.model.filepath",
  fileMetadata: "org.cncf.model.file.metadata+json",
  // What ModelPack called them before it came to the CNCF.
  oldFilepath: "org.cnai.model.filepath",
  oldFileMetadata: "org.cnai.model.file.metadata+json",
} as const;

/** Media types of a single manifest, image or artifact. */
export const manifestTypes: ReadonlySet<string> = new Set([
  mediaTypes.manifest,
  mediaTypes.artifactManifest,
  mediaTypes.dockerManifest,
]);

/** Media types of a list of manifests. */
export const indexTypes: ReadonlySet<string> = new Set([mediaTypes.index, mediaTypes.dockerIndex]);

/** What we ask manifests as: one line, since some registries read one Accept header only. */
export const MANIFEST_ACCEPT = [...manifestTypes, ...indexTypes].join(", ");

/** Bytes of the largest manifest that is read (distribution-spec 1.1: registries should limit to this). */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;
