import { DriverError } from "../base/index.ts";
import { type Digest, parseDigest } from "./digest.ts";
import type { Platform } from "./platform.ts";

/** What one blob or manifest is (image-spec 1.1, descriptor.md). */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly annotations: Readonly<Record<string, string>>;
  readonly platform: Platform | undefined;
  readonly urls: readonly string[];
  /** The blob itself, where the manifest carries it. */
  readonly data: Uint8Array | undefined;
}

/** A JSON object whose values are not known yet. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** One for all: a manifest may have thousands of descriptors. */
const NO_URLS: readonly string[] = Object.freeze([]);

/** True for a JSON object (no array, no null). */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Reads a descriptor; `where` names it in errors (`layers[3]`). Throws "refused". */
export function parseDescriptor(value: unknown, where: string): Descriptor {
  if (!isJsonObject(value)) throw malformed(where, "is no object");
  const { mediaType, digest, size } = value;
  if (mediaType !== undefined && typeof mediaType !== "string")
    throw malformed(where, "has a mediaType that is no text");
  if (typeof digest !== "string") throw malformed(where, "has no digest");
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) {
    throw malformed(where, `has a size that is no count of bytes (${typeof size === "number" ? size : typeof size})`);
  }
  return {
    mediaType: mediaType ?? "",
    digest: digestAt(digest, where),
    size,
    annotations: parseAnnotations(value["annotations"], where),
    platform: parsePlatformObject(value["platform"]),
    urls: parseUrls(value["urls"], where),
    data: parseData(value["data"], where),
  };
}

/** Reads a map of annotations; absent and null mean none. Throws "refused". */
export function parseAnnotations(value: unknown, where: string): Readonly<Record<string, string>> {
  if (value === undefined || value === null) return {};
  if (!isJsonObject(value)) throw malformed(where, "has annotations that are no object");
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string") {
      throw malformed(where, `has an annotation ${JSON.stringify(key.slice(0, 100))} that is no text`);
    }
  }
  // What JSON.parse made: all keys are its own, __proto__ too. A copy for each of thousands of layers would be large.
  return value as Readonly<Record<string, string>>;
}

function digestAt(text: string, where: string): Digest {
  try {
    return parseDigest(text);
  } catch (error) {
    if (!(error instanceof DriverError)) throw error;
    throw new DriverError(error.kind, `the manifest is malformed: ${where}: ${error.message}`);
  }
}

/** None, too, where both names are empty: Go tools write that for entries that have no platform. */
function parsePlatformObject(value: unknown): Platform | undefined {
  if (!isJsonObject(value)) return undefined;
  const { os, architecture, variant } = value;
  if (typeof os !== "string" || typeof architecture !== "string" || os + architecture === "") return undefined;
  return { os, architecture, variant: typeof variant === "string" && variant !== "" ? variant : undefined };
}

function parseUrls(value: unknown, where: string): readonly string[] {
  if (value === undefined || value === null) return NO_URLS;
  if (!Array.isArray(value) || !value.every((url): url is string => typeof url === "string")) {
    throw malformed(where, "has urls that are no list of texts");
  }
  return value;
}

function parseData(value: unknown, where: string): Uint8Array | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string") throw malformed(where, "has data that is no base64 text");
  return new Uint8Array(Buffer.from(value, "base64"));
}

function malformed(where: string, why: string): DriverError {
  return new DriverError("refused", `the manifest is malformed: ${where} ${why}`);
}
