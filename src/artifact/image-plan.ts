import { DriverError } from "../base/index.ts";
import { type Manifest, mediaTypes } from "../oci/index.ts";
import type { Plan } from "./plan.ts";
import { isFiltered, type Selection } from "./selection.ts";

const imageConfigs: ReadonlySet<string> = new Set([mediaTypes.imageConfig, mediaTypes.dockerImageConfig]);

/** Whether a manifest's config says that it is a container image. */
export function isImage(manifest: Manifest): boolean {
  return manifest.config !== undefined && imageConfigs.has(manifest.config.mediaType);
}

/** What an image becomes. Throws "bad-input" where only some of its layers are wanted. */
export function imagePlanOf(_manifest: Manifest, selection: Selection): Plan {
  if (isFiltered(selection))
    throw new DriverError("bad-input", "layers of an image cannot be chosen: leave out oras.artifact.layers.*");
  throw new DriverError("refused", "this is a container image: this version of the driver mounts artifacts only");
}
