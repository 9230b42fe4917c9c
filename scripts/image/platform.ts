import { join } from "node:path";
import { type Architecture, cacheFolder } from "../build/packages.ts";

/** An architecture as Node, Debian and OCI, and the names of its libraries' folder, call it. */
export interface ImagePlatform {
  readonly node: Architecture;
  /** Debian's name, which is OCI's, too. */
  readonly oci: "amd64" | "arm64";
  readonly triplet: string;
  /** qemu's name, for running its programs elsewhere. */
  readonly machine: string;
}

export const imagePlatforms: readonly ImagePlatform[] = [
  { node: "x64", oci: "amd64", triplet: "x86_64-linux-gnu", machine: "x86_64" },
  { node: "arm64", oci: "arm64", triplet: "aarch64-linux-gnu", machine: "aarch64" },
];

/** What a build of the image may keep for the next one. */
export const imageCacheFolder = join(cacheFolder, "image");

/** Where the executable is in the image. */
export const EXECUTABLE_IN_IMAGE = "usr/local/bin/oras-csi";
