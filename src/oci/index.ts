export { type Descriptor, isJsonObject, type JsonObject } from "./descriptor.ts";
export { type Digest, type DigestAlgorithm, digestOf, digestParts, parseDigest } from "./digest.ts";
export { type Index, type Manifest, parseManifest } from "./manifest.ts";
export { annotationKeys, MANIFEST_ACCEPT, MAX_MANIFEST_BYTES, mediaTypes } from "./media-types.ts";
export {
  formatPlatform,
  type Platform,
  parsePlatform,
  platformOfMachine,
  selectPlatform,
  nestedIndexes,
} from "./platform.ts";
export { formatReference, parseReference, type Reference } from "./reference.ts";
