import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { zstdDecompress } from "node:zlib";
import { runTool } from "../build/run-tool.ts";
import { blobPath, readLayout } from "./layout.ts";
import { EXECUTABLE_IN_IMAGE, imagePlatforms } from "./platform.ts";

/**
 * Takes the executable for this machine out of the image in a layout (dist/image) and puts it into `folder`; returns its
 * path. Undefined if there is no such image.
 */
export async function extractExecutable(layout: string, folder: string): Promise<string | undefined> {
  const own = imagePlatforms.find(({ node }) => node === process.arch)?.oci ?? "";
  // The last layer is what deploy/Dockerfile lays over the base.
  const layer = readLayout(layout).get(own)?.layers.at(-1);
  if (layer === undefined) return undefined;
  const tar = join(folder, "layer.tar");
  writeFileSync(tar, await promisify(zstdDecompress)(readFileSync(blobPath(layout, layer.digest))));
  await runTool("tar", ["--extract", "--no-same-owner", "--file", tar, "--directory", folder, EXECUTABLE_IN_IMAGE]);
  rmSync(tar);
  return join(folder, EXECUTABLE_IN_IMAGE);
}
