import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { promisify } from "node:util";
import { zstdDecompress } from "node:zlib";
import { hasTool, runTool } from "../build/run-tool.ts";
import { blobPath, type LayoutImage, layerBytes } from "./layout.ts";
import { EXECUTABLE_IN_IMAGE, type ImagePlatform, imageCacheFolder } from "./platform.ts";

/** Of the compressed layers. */
export const MAX_LAYER_BYTES = 40_000_000;

/** Looks at a finished image from outside and runs it; returns what there is to say, throws when something is wrong. */
export async function tryImage(layout: string, image: LayoutImage): Promise<string[]> {
  const bytes = layerBytes(image.manifest);
  const sizes = image.manifest.layers.map((layer) => megabytes(layer.size)).join(" + ");
  const size = `layers ${sizes} = ${megabytes(bytes)} MB compressed, at most ${megabytes(MAX_LAYER_BYTES)}`;
  if (bytes > MAX_LAYER_BYTES) throw new Error(`linux/${image.platform.oci} is too large: ${size}`);
  const root = await unpackImage(layout, image);
  const programs = findPrograms(root);
  if (programs.join() !== EXECUTABLE_IN_IMAGE)
    throw new Error(`other programs are in the image: ${programs.join(" ")}`);
  checkConfig(readJson(blobPath(layout, image.manifest.config.digest)).config);
  const libraries = await findLibraries(root, image.platform);
  const parts: number = readJson(join(root, "usr/share/doc/oras-csi/sbom.cdx.json")).components.length;
  const ran = await runVersion(root, image.platform);
  const contents = `ldd: ${libraries.length} libraries, all in the image; no other program; ${parts} parts in its SBOM`;
  return [size, contents, ran];
}

/** What the image says of itself and how it is started. */
function checkConfig(config: { Labels?: Record<string, string>; User?: string; Entrypoint?: string[] }): void {
  const labels = ["title", "description", "licenses", "version", "revision", "created"];
  const missing = labels.filter((name) => !config.Labels?.[`org.opencontainers.image.${name}`]);
  if (missing.length > 0) throw new Error(`labels are missing in the image: ${missing.join(", ")}`);
  const { User: user, Entrypoint: entrypoint } = config;
  if (user !== "0:0" || entrypoint?.join() !== `/${EXECUTABLE_IN_IMAGE}`)
    throw new Error(`the image starts ${entrypoint?.join(" ")} as ${user}`);
}

function readJson(path: string) {
  return JSON.parse(readFileSync(path, "utf8"));
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}

async function unpackImage(layout: string, { platform, manifest }: LayoutImage): Promise<string> {
  const root = join(imageCacheFolder, `root-${platform.oci}`);
  rmSync(root, { recursive: true, force: true });
  mkdirSync(root, { recursive: true });
  for (const layer of manifest.layers) {
    const tar = `${root}.tar`;
    writeFileSync(tar, await promisify(zstdDecompress)(readFileSync(blobPath(layout, layer.digest))));
    await runTool("tar", ["--extract", "--no-same-owner", "--file", tar, "--directory", root]);
    rmSync(tar);
  }
  return root;
}

/** All files that somebody may execute, libraries left out. */
function findPrograms(root: string): string[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !/\.so(\.|$)/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => (statSync(path).mode & 0o111) !== 0)
    .map((path) => relative(root, path));
}

/** Follows what the executable and its libraries name as needed; throws when the image lacks one. */
async function findLibraries(root: string, { triplet }: ImagePlatform): Promise<string[]> {
  const folders = [`lib/${triplet}`, `usr/lib/${triplet}`, "lib", "usr/lib", "lib64"].map((name) => join(root, name));
  const found = new Map<string, string>();
  const pending = [join(root, EXECUTABLE_IN_IMAGE)];
  for (let file = pending.pop(); file !== undefined; file = pending.pop()) {
    const printed = await runTool("readelf", ["--dynamic", "--wide", file], { LC_ALL: "C" });
    for (const [, name = ""] of printed.matchAll(/\(NEEDED\).*\[(.+)\]/g)) {
      if (found.has(name)) continue;
      const path = folders.map((folder) => join(folder, name)).find((candidate) => existsSync(candidate));
      if (path === undefined) throw new Error(`the image lacks ${name}, which ${relative(root, file)} needs`);
      found.set(name, path);
      pending.push(path);
    }
  }
  return [...found.keys()];
}

/** What `version` prints, with the image as root folder; with qemu and its libraries for another architecture. */
async function runVersion(root: string, { node, machine }: ImagePlatform): Promise<string> {
  const qemu = `qemu-${machine}-static`;
  const own = node === process.arch;
  if (!own && !(await hasTool(qemu))) return `not run: ${qemu} is not installed (Debian: qemu-user-static)`;
  const change = process.getuid?.() === 0 ? ["chroot", root] : ["unshare", "--map-root-user", `--root=${root}`];
  const [command = "", ...args] = own
    ? [...change, `/${EXECUTABLE_IN_IMAGE}`]
    : [qemu, "-L", root, join(root, EXECUTABLE_IN_IMAGE)];
  const { stdout, stderr } = await promisify(execFile)(command, [...args, "version"]);
  if (stderr !== "") throw new Error(`${command} ${args.join(" ")} version complains: ${stderr}`);
  return `${stdout.trim()} (run ${own ? "with the image as root folder" : "by qemu with the image's libraries"})`;
}
