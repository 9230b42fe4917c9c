import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { zstdDecompress } from "node:zlib";
import { runTool } from "../build/run-tool.ts";
import { blobPath, type ImageManifest } from "./layout.ts";
import { EXECUTABLE_IN_IMAGE, imagePlatforms } from "./platform.ts";

/**
 * Takes the executable for this machine out of the image in a layout (dist/image) and puts it into `folder`; returns its
 * path. Undefined if there is no such image.
 */
export async function extractExecutable(layout: string, folder: string): Promise<string | undefined> {
  if (!existsSync(join(layout, "index.json"))) return undefined;
  const [named] = readJson(join(layout, "index.json")).manifests;
  const own = imagePlatforms.find(({ node }) => node === process.arch)?.oci;
  const images: { digest: string; platform: { architecture: string } }[] = readJson(
    blobPath(layout, named.digest),
  ).manifests;
  const image = images.find(({ platform }) => platform.architecture === own);
  if (image === undefined) return undefined;
  const { layers }: ImageManifest = readJson(blobPath(layout, image.digest));
  // Of several layers with it the last one counts; here only the last one has it.
  const last = layers.at(-1);
  if (last === undefined) return undefined;
  const tar = join(folder, "layer.tar");
  writeFileSync(tar, await promisify(zstdDecompress)(readFileSync(blobPath(layout, last.digest))));
  await runTool("tar", ["--extract", "--no-same-owner", "--file", tar, "--directory", folder, EXECUTABLE_IN_IMAGE]);
  rmSync(tar);
  return join(folder, EXECUTABLE_IN_IMAGE);
}

function readJson(path: string) {
  return JSON.parse(readFileSync(path, "utf8"));
}
