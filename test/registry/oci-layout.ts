import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { BuiltManifest } from "./artifact-builder.ts";

/** The name under which an image lies in a layout. */
const REF_NAME = "org.opencontainers.image.ref.name";
const INDEX_TYPE = "application/vnd.oci.image.index.v1+json";

/** Writes an image to a folder, as other tools read it (image-spec 1.1, image-layout.md). */
export function writeOciLayout(folder: string, manifest: BuiltManifest, tag: string): void {
  for (const blob of [...manifest.blobs, manifest]) {
    const path = blobIn(folder, blob.digest);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, blob.bytes);
  }
  const { mediaType, digest, bytes } = manifest;
  const entry = { mediaType, digest, size: bytes.length, annotations: { [REF_NAME]: tag } };
  const index = { schemaVersion: 2, mediaType: INDEX_TYPE, manifests: [entry] };
  writeFileSync(join(folder, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  writeFileSync(join(folder, "index.json"), JSON.stringify(index));
}

/** Reads the one image of a layout that another tool wrote, ready to be pushed. */
export function readOciLayout(folder: string): BuiltManifest {
  const read = (name: string) => readFileSync(blobIn(folder, name));
  const index = JSON.parse(readFileSync(join(folder, "index.json"), "utf8"));
  const [{ digest, mediaType }] = index.manifests;
  const bytes = read(digest);
  const { config, layers } = JSON.parse(bytes.toString());
  const blobs = [config, ...layers].filter((blob: { digest: string }) => existsSync(blobIn(folder, blob.digest)));
  return {
    mediaType,
    digest,
    bytes,
    blobs: blobs.map((blob: { digest: string; mediaType: string }) => {
      return { mediaType: blob.mediaType, digest: blob.digest, bytes: read(blob.digest), annotations: {} };
    }),
    children: [],
  };
}

function blobIn(folder: string, digest: string): string {
  return join(folder, "blobs", ...digest.split(":"));
}
