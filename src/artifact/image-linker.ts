import { chmodSync, lstatSync, mkdirSync } from "node:fs";
import { below, withShortPath } from "../base/index.ts";
import type { Digest } from "../oci/index.ts";
import { LayerIndexReader, LayerMerge, type MergedEntry, type UnpackBudget } from "../unpack/index.ts";
import { copyFacts, FileLinker } from "./file-linker.ts";
import type { TreeCount } from "./tree-linker.ts";

/** An unpacked layer of an image. */
export interface ImageLayer {
  readonly name: Digest;
  /** The file that says what is in it. */
  readonly index: string;
  readonly folder: string;
}

const FOLDER_MODE = 0o755;

/**
 * Puts an image's tree together in a fresh folder: its layers' indexes are merged in memory, the lowest first, then what is
 * left is linked. No path is followed on disk, so nothing of one layer leads another one astray. Synchronous: for a worker.
 */
export class ImageLinker implements Disposable {
  readonly #layers: readonly ImageLayer[];
  readonly #budget: UnpackBudget;
  readonly #failure: (layer: ImageLayer, error: unknown) => unknown;
  readonly #merge = new LayerMerge();

  /**
   * The layers from the lowest on. The budget is for all of them together, those included that were unpacked for other
   * trees. `failure` makes of what failed with a layer what is thrown.
   */
  constructor(
    layers: readonly ImageLayer[],
    budget: UnpackBudget,
    failure: (layer: ImageLayer, error: unknown) => unknown,
  ) {
    this.#layers = layers;
    this.#budget = budget;
    this.#failure = failure;
  }

  [Symbol.dispose](): void {
    this.#merge.free();
  }

  /** Makes `root` with all that is left of the layers. Throws "refused" for what one cannot put on the others. */
  link(root: string): TreeCount {
    for (const layer of this.#layers) this.#try(layer, () => this.#addLayer(layer));
    const files = new FileLinker(root);
    const into = Buffer.from(root);
    let [bytes, inodes] = [0, 0];
    mkdirSync(into);
    for (const entry of this.#merge.entries()) {
      const target = below(into, entry.path);
      if (entry.type === "file") this.#fromLayer(entry, (source) => files.link(source, target));
      else if (entry.path.length > 0) withShortPath(target, (path) => mkdirSync(path));
      bytes += entry.size;
      inodes++;
    }
    this.#finishFolders(into);
    return { bytes, inodes };
  }

  #addLayer(layer: ImageLayer): void {
    using index = new LayerIndexReader(layer.index);
    this.#budget.takeLayer(layer.name, index.counts);
    this.#merge.add(index);
  }

  /** Sets owners, modes and times of folders, which would have been in the way or lost before. */
  #finishFolders(into: Buffer): void {
    for (const entry of this.#merge.entries()) {
      if (entry.type !== "folder") continue;
      const target = below(into, entry.path);
      if (entry.layer === undefined) withShortPath(target, (path) => chmodSync(path, FOLDER_MODE));
      else this.#fromLayer(entry, (source) => copyFolderFacts(source, target));
    }
  }

  #fromLayer({ layer: number, source }: MergedEntry, call: (source: Buffer) => void): void {
    const layer = this.#layers[number ?? -1];
    if (layer === undefined) throw new RangeError(`there is no layer ${number}`);
    this.#try(layer, () => call(below(Buffer.from(layer.folder), source)));
  }

  #try(layer: ImageLayer, call: () => void): void {
    try {
      call();
    } catch (error) {
      throw this.#failure(layer, error);
    }
  }
}

function copyFolderFacts(source: Buffer, target: Buffer): void {
  const found = withShortPath(source, (path) => lstatSync(path, { bigint: true }));
  withShortPath(target, (path) => copyFacts(found, path));
}
