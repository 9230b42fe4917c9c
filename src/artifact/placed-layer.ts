import { DriverError } from "../base/index.ts";
import type { LayerForm } from "../cache/index.ts";
import type { Descriptor, Digest } from "../oci/index.ts";
import { quoteName } from "../unpack/index.ts";

/** What a layer becomes in the tree. */
export interface PlacedLayer {
  /**
   * `file`: the blob itself, at the path. `folder`: a tar whose entries begin with the path. `image`: one of an image's
   * layers, put on those before it; a tree has such layers only, or none.
   */
  readonly kind: "file" | "folder" | "image";
  /** What fetching it takes. A plan may have thousands of layers and is kept until the pull ends: no more than that. */
  readonly descriptor: Pick<Descriptor, "digest" | "size">;
  /**
   * The cleaned title, or what the layer's kind of artifact calls it: a relative path, or `.` for the tree's root. An
   * image's layer has its digest here, to be called by.
   */
  readonly path: string;
  /** What the tar must hash to once uncompressed, where the manifest says so. */
  readonly uncompressedDigest: Digest | undefined;
  /** A file's mode, where it is to have another than its blob. */
  readonly mode?: number;
  /** A tar whose entries do not begin with the path goes below it. */
  readonly movesBelow?: true;
  /** The manifest says that it is to be had elsewhere, too: that is why the registry may not hold it. */
  readonly hasUrls?: true;
}

/** Which layers make a tree, in the manifest's order, and how many layers have no meaning to us. */
export interface Plan {
  readonly layers: readonly PlacedLayer[];
  readonly skipped: number;
}

/** In which form the cache keeps such a layer. */
export function formOf(kind: PlacedLayer["kind"]): LayerForm {
  if (kind === "file") return "blob";
  return kind === "image" ? "image" : "artifact";
}

/** Layers that registries do not hold, only their `urls`, are refused rather than fetched from anywhere. */
export function refuseForeign({ urls, mediaType }: Descriptor, name: string): void {
  if (urls.length > 0 && /foreign|nondistributable/.test(mediaType)) throw foreignLayer(name);
}

/** A layer that is not in the registry, but at its `urls`. */
export function foreignLayer(name: string): DriverError {
  return new DriverError(
    "refused",
    `layer ${quoteName(Buffer.from(name))} is not in the registry but at other addresses, which are not fetched`,
  );
}
