import { DriverError } from "../base/index.ts";
import { type Descriptor, isJsonObject, type JsonObject, parseAnnotations, parseDescriptor } from "./descriptor.ts";
import { countJsonValues } from "./json-values.ts";
import { indexTypes, MAX_MANIFEST_BYTES, manifestTypes, mediaTypes } from "./media-types.ts";

/** About twice as many as the layers have that fit into the largest manifest, if each has a digest, a size and a title. */
const MAX_JSON_VALUES = 250_000;
const schema1Prefix = "application/vnd.docker.distribution.manifest.v1+";

/** One artifact or image: a config and layers (image-spec 1.1, manifest.md). */
export interface Manifest {
  readonly kind: "manifest";
  readonly mediaType: string;
  readonly artifactType: string | undefined;
  readonly config: Descriptor | undefined;
  /** In the order of the manifest; old artifact manifests' `blobs` are layers, too. */
  readonly layers: readonly Descriptor[];
  readonly annotations: Readonly<Record<string, string>>;
}

/** A list of manifests, by platform (image-spec 1.1, image-index.md). */
export interface Index {
  readonly kind: "index";
  readonly mediaType: string;
  readonly manifests: readonly Descriptor[];
  readonly annotations: Readonly<Record<string, string>>;
}

/**
 * Reads a manifest or an index. Its kind is told by `mediaType`, else by a Content-Type that names a manifest, else by
 * its shape; generic content types say nothing. What could be read in two ways is refused, so that the same bytes mean
 * the same without their Content-Type, too. Throws "refused".
 */
export function parseManifest(bytes: Uint8Array, contentType: string | undefined): Manifest | Index {
  if (bytes.byteLength > MAX_MANIFEST_BYTES) {
    throw malformed(`has ${bytes.byteLength} bytes, more than the ${MAX_MANIFEST_BYTES} that are read`);
  }
  if (countJsonValues(bytes) > MAX_JSON_VALUES) throw malformed(`has more than ${MAX_JSON_VALUES} values`);
  const value = parseJson(bytes);
  if (!isJsonObject(value)) throw malformed("is no JSON object");
  const own = ownMediaType(value);
  const mediaType = servedMediaType(contentType, own) || own;
  refuseAmbiguous(value, own, mediaType);
  const isIndex = mediaType === "" ? isThere(value["manifests"]) : indexTypes.has(mediaType);
  return isIndex ? indexFrom(value, mediaType) : manifestFrom(value, mediaType);
}

function indexFrom(value: JsonObject, mediaType: string): Index {
  const annotations = parseAnnotations(value["annotations"], "the manifest");
  const manifests = list(value, "manifests");
  return { kind: "index", mediaType: mediaType || mediaTypes.index, manifests, annotations };
}

function manifestFrom(value: JsonObject, mediaType: string): Manifest {
  const { artifactType, config } = value;
  // By its own word only: what layers are must not hang on a Content-Type that the cache does not keep.
  const blobsCount = value["mediaType"] === mediaTypes.artifactManifest && isThere(value["blobs"]);
  return {
    kind: "manifest",
    mediaType: mediaType || mediaTypes.manifest,
    artifactType: typeof artifactType === "string" && artifactType !== "" ? artifactType : undefined,
    config: isThere(config) ? parseDescriptor(config, "config") : undefined,
    layers: list(value, isThere(value["layers"]) && !blobsCount ? "layers" : "blobs"),
    annotations: parseAnnotations(value["annotations"], "the manifest"),
  };
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    // The reason would quote what the server sent, which may be anything.
    throw malformed("is no JSON");
  }
}

/** The media type that the manifest says it has; empty if it says none. Throws for what is no manifest that we read. */
function ownMediaType(value: JsonObject): string {
  const own = value["mediaType"] ?? "";
  if (typeof own !== "string") throw malformed("has a mediaType that is no text");
  if (value["schemaVersion"] === 1 || own.startsWith(schema1Prefix)) {
    throw new DriverError("refused", "the manifest is of Docker's schema 1, which is not read: push the image anew");
  }
  if (own !== "" && !isKnown(own)) {
    throw malformed(`is of media type ${JSON.stringify(own.slice(0, 200))}, which is no manifest`);
  }
  return own;
}

/** The media type that the Content-Type names; empty if that is none of a manifest. Throws if it is not `own`. */
function servedMediaType(contentType: string | undefined, own: string): string {
  const served = contentType?.split(";")[0]?.trim().toLowerCase() ?? "";
  if (!isKnown(served)) return "";
  if (own !== "" && own !== served) {
    throw malformed(`says that it is ${own}, but the registry served it as ${served}`);
  }
  return served;
}

/** GHSA-77vh-xpmg-72qh tells what became of images that one reader took for an index and another for a manifest. */
function refuseAmbiguous(value: JsonObject, own: string, mediaType: string): void {
  const likeIndex = isThere(value["manifests"]);
  const likeManifest = ["config", "layers", "blobs"].some((key) => isThere(value[key]));
  if (likeIndex && likeManifest) throw malformed("has manifests beside layers or a config: it can be read in two ways");
  if (!likeIndex && !likeManifest && own === "") throw malformed("has neither layers nor manifests");
  if (indexTypes.has(mediaType) ? likeManifest : mediaType !== "" && likeIndex) {
    throw malformed(`is called ${mediaType}, but has the parts of ${likeIndex ? "an index" : "a manifest"}`);
  }
}

function list(value: JsonObject, key: "layers" | "blobs" | "manifests"): readonly Descriptor[] {
  const entries = value[key];
  if (!isThere(entries)) return [];
  if (!Array.isArray(entries)) throw malformed(`has ${key} that are no list`);
  return entries.map((entry, i) => parseDescriptor(entry, `${key}[${i}]`));
}

function isKnown(mediaType: string): boolean {
  return manifestTypes.has(mediaType) || indexTypes.has(mediaType);
}

/** Go tools write null for what is empty. */
function isThere(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function malformed(why: string): DriverError {
  return new DriverError("refused", `the manifest is malformed: it ${why}`);
}
