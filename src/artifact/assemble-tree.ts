import { DriverError, errnoOf } from "../base/index.ts";
import type { Layout } from "../cache/index.ts";
import type { Digest } from "../oci/index.ts";
import { UnpackBudget, type UnpackLimits } from "../unpack/index.ts";
import { ImageLinker } from "./image-linker.ts";
import type { PlacedLayer } from "./placed-layer.ts";
import { spentLayersOf } from "./spent-layers.ts";
import { TreeLinker } from "./tree-linker.ts";
import { ALL_TAR_LAYERS } from "./unpack-limits.ts";
import type { StagedTree } from "./worker-calls.ts";

/** What a tree is put together from: layers that the cache has. */
export interface TreeParts {
  readonly layers: readonly PlacedLayer[];
  readonly layout: Layout;
  /** Whether the cache is kept: if not, a tar layer may be taken apart for the tree. */
  readonly isDurable: boolean;
  /** What all tar layers may be together. */
  readonly limits: UnpackLimits;
  /** What files are linked from that have another mode than their blobs. */
  readonly sources: ReadonlyMap<PlacedLayer, string>;
}

/** A tree that was put together. */
type AssembledTree = Pick<StagedTree, "folder" | "bytes" | "inodes">;

/** Something of a cached layer is not there any more, or is not what was written. */
export class LostLayer extends DriverError {
  readonly digest: Digest;
  readonly indexFile: string;

  constructor(digest: Digest, indexFile: string, cause: unknown) {
    super("corrupt", `the node's disk has lost something of the unpacked layer ${digest}`, cause);
    this.digest = digest;
    this.indexFile = indexFile;
  }
}

/** Puts a tree together from hard links, in a folder that is made. Throws `LostLayer`; "refused" for what cannot be. */
export function assembleTree(folder: string, parts: TreeParts): AssembledTree {
  const { layers, layout, isDurable, limits, sources } = parts;
  const budget = new UnpackBudget(limits, ALL_TAR_LAYERS);
  if (layers.some(({ kind }) => kind === "image")) return assembleImage(folder, parts, budget);
  const linker = new TreeLinker(folder, budget);
  const spent = isDurable ? undefined : spentLayersOf(layers);
  for (const layer of layers) {
    const { kind, descriptor, path } = layer;
    const source = sources.get(layer) ?? layout.blob(descriptor.digest);
    if (kind === "file") linker.addFile(path, source, descriptor.size);
    else addLayer(linker, layout, { layer, isSpent: spent?.has(layer) === true });
  }
  return { folder, ...linker.finish() };
}

function addLayer(
  linker: TreeLinker,
  layout: Layout,
  { layer, isSpent }: { readonly layer: PlacedLayer; readonly isSpent: boolean },
): void {
  const { path, movesBelow } = layer;
  const { digest } = layer.descriptor;
  const index = layout.layerIndex(digest, "artifact");
  try {
    const folder = layout.layerFolder(digest, "artifact");
    linker.addLayer({ index, folder, title: path, isSpent, ...(movesBelow === undefined ? {} : { movesBelow }) });
  } catch (error) {
    throw isLoss(error) ? new LostLayer(digest, index, error) : error;
  }
}

function assembleImage(folder: string, { layers, layout }: TreeParts, budget: UnpackBudget): AssembledTree {
  const placed = layers.map(({ descriptor: { digest } }) => ({
    name: digest,
    index: layout.layerIndex(digest, "image"),
    folder: layout.layerFolder(digest, "image"),
  }));
  using linker = new ImageLinker(placed, budget, ({ name, index }, error) =>
    isLoss(error) ? new LostLayer(name, index, error) : error,
  );
  return { folder, ...linker.link(folder) };
}

function isLoss(error: unknown): boolean {
  if (error instanceof DriverError) return error.kind === "corrupt";
  return ["ENOENT", "ENOTDIR", "EISDIR"].includes(errnoOf(error) ?? "");
}
