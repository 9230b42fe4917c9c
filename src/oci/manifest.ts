import { DriverError } from "../base/index.ts";
import { type Descriptor, isJsonObject, type JsonObject, parseAnnotations, parseDescriptor } from "./descriptor.ts";
import { indexTypes, MAX_MANIFEST_BYTES, manifestTypes, mediaTypes } from "./media-types.ts";

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
 * its shape; generic content types say nothing. Throws "refused".
 */
export function parseManifest(bytes: Uint8Array, contentType: string | undefined): Manifest | Index {
  if (bytes.byteLength > MAX_MANIFEST_BYTES) {
    throw malformed(`has ${bytes.byteLength} bytes, more than the ${MAX_MANIFEST_BYTES} that are read`);
  }
  const value = parseJson(bytes);
  if (!isJsonObject(value)) throw malformed("is no JSON object");
  if (value["schemaVersion"] === 1) {
    throw new DriverError("refused", "the manifest is of Docker's schema 1, which is not read: push the image anew");
  }
  const mediaType = mediaTypeOf(value, contentType);
  const isIndex = mediaType === "" ? Array.isArray(value["manifests"]) : indexTypes.has(mediaType);
  const annotations = parseAnnotations(value["annotations"], "the manifest");
  if (isIndex) {
    return {
      kind: "index",
      mediaType: mediaType || mediaTypes.index,
      manifests: list(value, "manifests"),
      annotations,
    };
  }
  return {
    kind: "manifest",
    mediaType: mediaType || mediaTypes.manifest,
    artifactType: textOrNone(value["artifactType"]),
    config: value["config"] === undefined ? undefined : parseDescriptor(value["config"], "config"),
    layers: value["layers"] === undefined ? list(value, "blobs") : list(value, "layers"),
    annotations,
  };
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw malformed("is no JSON", error);
  }
}

/** The media type that the manifest and its Content-Type agree on; empty if neither names one that we know. */
function mediaTypeOf(value: JsonObject, contentType: string | undefined): string {
  const own = textOrNone(value["mediaType"]) ?? "";
  const served = (contentType ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
  const known = (type: string) => manifestTypes.has(type) || indexTypes.has(type);
  if (own !== "" && !known(own))
    throw malformed(`is of media type ${JSON.stringify(own.slice(0, 200))}, which is no manifest`);
  if (own !== "" && known(served) && own !== served) {
    throw malformed(`says that it is ${own}, but the registry served it as ${served}`);
  }
  return own !== "" ? own : known(served) ? served : "";
}

function list(value: JsonObject, key: "layers" | "blobs" | "manifests"): readonly Descriptor[] {
  const entries = value[key];
  if (entries === undefined || entries === null) return [];
  if (!Array.isArray(entries)) throw malformed(`has ${key} that are no list`);
  return entries.map((entry, i) => parseDescriptor(entry, `${key}[${i}]`));
}

function textOrNone(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function malformed(why: string, cause?: unknown): DriverError {
  return new DriverError("refused", `the manifest is malformed: it ${why}`, cause);
}
