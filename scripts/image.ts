// `npm run image`: the container image for amd64 and arm64 as an OCI layout in dist/image, made by buildah without a
// daemon and without a registry. `npm run image -- --push REFERENCE` pushes it, too (to localhost over plain http);
// `--platform amd64` leaves the other architecture out.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ensureTool, runTool } from "./build/run-tool.ts";
import { type BuildFacts, buildImage } from "./image/layers.ts";
import { addCompressed, type LayoutImage, writeIndex } from "./image/layout.ts";
import { licenseTexts, projectVersion } from "./image/npm-packages.ts";
import { type ImagePlatform, imageCacheFolder, imagePlatforms } from "./image/platform.ts";
import { makeRootFolders } from "./image/root-folders.ts";
import { billOfMaterials } from "./image/sbom.ts";
import { tryImage } from "./image/try-image.ts";

const root = join(import.meta.dirname, "..");
const layout = join(root, "dist/image");
const context = join(root, "dist/image-context");

async function main(args: readonly string[]): Promise<void> {
  const text = { type: "string", multiple: true } as const;
  const { values } = parseArgs({ args: [...args], options: { push: text, platform: text } });
  const platforms = imagePlatforms.filter(({ oci }) => values.platform?.includes(oci) ?? true);
  if (platforms.length === 0) throw new Error("there are images for amd64 and arm64");
  for (const [command, debianPackage] of [
    ["buildah", "buildah"],
    ["readelf", "binutils"],
    ...(values.push === undefined ? [] : [["skopeo", "skopeo"]]),
  ] as const) {
    if (!(await ensureTool(command, debianPackage))) throw new Error(`${command} is needed (Debian: ${debianPackage})`);
  }
  process.stdout.write(
    await runTool(process.execPath, [join(root, "scripts/build.ts"), ...platforms.map(({ node }) => node)]),
  );
  const facts = await readFacts();
  rmSync(layout, { recursive: true, force: true });
  rmSync(context, { recursive: true, force: true });
  const images: LayoutImage[] = [];
  for (const platform of platforms) images.push(await makeImage(platform, facts));
  const { digest } = writeIndex(layout, images, [facts.version, "latest"]);
  console.log(`dist/image: ${facts.version}, latest (${digest})`);
  for (const reference of values.push ?? []) await push(reference, facts.version);
}

async function makeImage(platform: ImagePlatform, facts: BuildFacts): Promise<LayoutImage> {
  const { base, added, packages } = await makeRootFolders(platform, context);
  const bill = `${JSON.stringify(billOfMaterials(packages, facts.created), undefined, 2)}\n`;
  writeFileSync(join(root, `dist/image-${platform.oci}.cdx.json`), bill);
  const documents = join(added, "usr/share/doc/oras-csi");
  mkdirSync(documents, { recursive: true });
  writeFileSync(join(documents, "sbom.cdx.json"), bill);
  writeFileSync(join(documents, "LICENSES"), licenseTexts());
  const plain = join(imageCacheFolder, `plain-${platform.oci}`);
  rmSync(plain, { recursive: true, force: true });
  await buildImage(platform, { base, context }, facts, plain);
  const image = await addCompressed(platform, plain, layout);
  rmSync(plain, { recursive: true });
  for (const line of await tryImage(layout, image)) console.log(`linux/${platform.oci}: ${line}`);
  return image;
}

/** The commit says when this was made, so that the same sources give the same image. */
async function readFacts(): Promise<BuildFacts> {
  const git = (...args: readonly string[]) =>
    runTool("git", args).then(
      (printed) => printed.trim(),
      () => undefined,
    );
  const revision = (await git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")) ?? "unknown";
  const seconds = Number((await git("log", "-1", "--format=%ct")) ?? Date.now() / 1000);
  return { version: projectVersion(), revision, created: new Date(seconds * 1000).toISOString() };
}

async function push(reference: string, version: string): Promise<void> {
  const local = /^(localhost|127\.0\.0\.1|\[::1\])[:/]/.test(reference);
  const options = ["--all", "--preserve-digests", ...(local ? ["--dest-tls-verify=false"] : [])];
  await runTool("skopeo", ["copy", "--quiet", ...options, `oci:${layout}:${version}`, `docker://${reference}`]);
  console.log(`pushed ${reference}`);
}

await main(process.argv.slice(2));
