import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { constants, gunzip, zstdCompress } from "node:zlib";
import { type ImagePlatform, imageCacheFolder } from "./platform.ts";

const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const INDEX = "application/vnd.oci.image.index.v1+json";
const ZSTD_LAYER = "application/vnd.oci.image.layer.v1.tar+zstd";
/** Level 15 leaves 4 MB more of the executable, the levels above 19 ask readers for larger windows. */
const ZSTD_LEVEL = 19;

export interface BlobDescriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

export interface ImageManifest {
  readonly config: BlobDescriptor;
  readonly layers: readonly BlobDescriptor[];
}

/** An image in the layout: its platform, its manifest, and where that is. */
export interface LayoutImage {
  readonly platform: ImagePlatform;
  readonly manifest: ImageManifest;
  readonly descriptor: BlobDescriptor;
}

/** Copies the only image of the layout `from` into the layout `to`, its layers compressed with zstd. */
export async function addCompressed(platform: ImagePlatform, from: string, to: string): Promise<LayoutImage> {
  const [only] = readJson(join(from, "index.json")).manifests;
  const plain: ImageManifest = readJson(blobPath(from, only.digest));
  const layers = await Promise.all(plain.layers.map((layer) => compressLayer(from, to, layer)));
  mkdirSync(join(to, "blobs/sha256"), { recursive: true });
  copyFileSync(blobPath(from, plain.config.digest), blobPath(to, plain.config.digest));
  const manifest = { schemaVersion: 2, mediaType: MANIFEST, config: plain.config, layers };
  return { platform, manifest, descriptor: putBlob(to, MANIFEST, Buffer.from(JSON.stringify(manifest))) };
}

/** Writes the index of all images, and the layout's own list, which names it by each of `tags`. */
export function writeIndex(layout: string, images: readonly LayoutImage[], tags: readonly string[]): BlobDescriptor {
  const manifests = images.map(({ platform, descriptor: image }) => ({
    ...image,
    platform: { os: "linux", architecture: platform.oci, ...(platform.oci === "arm64" ? { variant: "v8" } : {}) },
  }));
  const index = { schemaVersion: 2, mediaType: INDEX, manifests };
  const descriptor = putBlob(layout, INDEX, Buffer.from(JSON.stringify(index)));
  const named = tags.map((tag) => ({ ...descriptor, annotations: { "org.opencontainers.image.ref.name": tag } }));
  writeFileSync(join(layout, "index.json"), JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: named }));
  writeFileSync(join(layout, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  return descriptor;
}

/** The images of a finished layout, by their architectures' OCI names; none if there is no such layout. */
export function readLayout(layout: string): Map<string, ImageManifest> {
  if (!existsSync(join(layout, "index.json"))) return new Map();
  const [named] = readJson(join(layout, "index.json")).manifests;
  const index: { manifests: (BlobDescriptor & { platform: { architecture: string } })[] } = readJson(
    blobPath(layout, named.digest),
  );
  return new Map(
    index.manifests.map(({ platform, digest }) => [platform.architecture, readJson(blobPath(layout, digest))]),
  );
}

/** Bytes that a node has to fetch: the compressed layers. */
export function layerBytes({ layers }: ImageManifest): number {
  return layers.reduce((sum, { size }) => sum + size, 0);
}

/** Where a layout keeps a blob. */
export function blobPath(layout: string, digest: string): string {
  return join(layout, "blobs", digest.replace(":", "/"));
}

/** A layer is compressed once: it takes a minute or two. */
async function compressLayer(from: string, to: string, layer: BlobDescriptor): Promise<BlobDescriptor> {
  const folder = join(imageCacheFolder, `zstd-${ZSTD_LEVEL}`);
  const kept = join(folder, layer.digest.replace(":", "-"));
  if (!existsSync(kept)) {
    mkdirSync(folder, { recursive: true });
    const bytes = readFileSync(blobPath(from, layer.digest));
    const tar = layer.mediaType.endsWith("+gzip") ? await promisify(gunzip)(bytes) : bytes;
    const params = { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL, [constants.ZSTD_c_checksumFlag]: 1 };
    writeFileSync(`${kept}.new`, await promisify(zstdCompress)(tar, { params }));
    renameSync(`${kept}.new`, kept);
  }
  return putBlob(to, ZSTD_LAYER, readFileSync(kept));
}

function putBlob(layout: string, mediaType: string, bytes: Buffer): BlobDescriptor {
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  mkdirSync(join(layout, "blobs/sha256"), { recursive: true });
  writeFileSync(blobPath(layout, digest), bytes);
  return { mediaType, digest, size: bytes.length };
}

function readJson(path: string) {
  return JSON.parse(readFileSync(path, "utf8"));
}
