import { DriverError } from "../base/index.ts";
import { type Manifest, mediaTypes } from "../oci/index.ts";
import { type Plan, refuseForeign } from "./placed-layer.ts";
import { isFiltered, type Selection } from "./selection.ts";

const imageConfigs: ReadonlySet<string> = new Set([mediaTypes.imageConfig, mediaTypes.dockerImageConfig]);
/** What signatures and attestations have for layers: they borrow the config of an image. */
const NO_TAR = /[+/]json$|squashfs/;

/** Whether a manifest is a container image: its config says so, and no layer that it is anything but a tar. */
export function isImage({ config, layers }: Manifest): boolean {
  if (config === undefined || !imageConfigs.has(config.mediaType)) return false;
  return !layers.some(({ mediaType }) => NO_TAR.test(mediaType) && mediaType !== mediaTypes.empty);
}

/** What an image becomes. Throws "bad-input" where only some of its layers are wanted, "refused" for foreign layers. */
export function imagePlanOf(manifest: Manifest, selection: Selection): Plan {
  if (isFiltered(selection))
    throw new DriverError("bad-input", "layers of an image cannot be chosen: leave out oras.artifact.layers.*");
  const layers = manifest.layers.filter(({ mediaType }) => mediaType !== mediaTypes.empty);
  for (const layer of layers) refuseForeign(layer, layer.digest);
  return {
    layers: layers.map(({ digest, size, urls }) => ({
      kind: "image",
      descriptor: { digest, size },
      path: digest,
      uncompressedDigest: undefined,
      ...(urls.length > 0 ? { hasUrls: true } : {}),
    })),
    skipped: 0,
  };
}
