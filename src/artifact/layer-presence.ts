import { rmSync } from "node:fs";
import { FileHasher } from "../base/index.ts";
import { type Blobs, hasLayer, type Layout } from "../cache/index.ts";
import { checkLayer, type LayerFault } from "../unpack/index.ts";
import { formOf, type PlacedLayer } from "./placed-layer.ts";

/** What presence is asked of. */
export interface LayerPresenceOptions {
  readonly layout: Layout;
  readonly blobs: Blobs;
  /** Whether all bytes are read before they count: something of the tree was found to be damaged. */
  readonly isThorough: boolean;
  readonly signal: AbortSignal;
}

/** Whether the cache has the layers of one pull, in the form that the tree needs them in. */
export class LayerPresence {
  readonly #options: LayerPresenceOptions;
  /** What was read and found to be right. */
  readonly #sound = new Set<string>();

  constructor(options: LayerPresenceOptions) {
    this.#options = options;
  }

  /**
   * Whether a layer is there, and whole. An unpacked one that is not loses its index: it counts for nobody any more. Modes
   * are set right where all bytes are read.
   */
  async has(layer: PlacedLayer): Promise<boolean> {
    const { layout, blobs, isThorough } = this.#options;
    const { kind, descriptor } = layer;
    const form = formOf(kind);
    const isThere = form === "blob" ? blobs.hasSync(descriptor) : await hasLayer(layout, descriptor.digest, form);
    if (!isThere || !isThorough) return isThere;
    const name = `${kind} ${descriptor.digest}`;
    if (this.#sound.has(name)) return true;
    const isSound = await this.#isSound(layer);
    if (isSound) this.#sound.add(name);
    return isSound;
  }

  async #isSound({ kind, descriptor: { digest } }: PlacedLayer): Promise<boolean> {
    const { layout, blobs, signal } = this.#options;
    using hasher = new FileHasher({ signal });
    const form = formOf(kind);
    if (form === "blob") return await blobs.isWhole(digest, hasher);
    let faults = 0;
    const indexFile = layout.layerIndex(digest, form);
    const folder = layout.layerFolder(digest, form);
    const onFault = (fault: LayerFault) => {
      if (fault.kind === "bytes" || fault.kind === "else") faults++;
    };
    await checkLayer({ indexFile, folder, hasher, setsModes: true, onFault });
    if (faults > 0) rmSync(indexFile, { recursive: true, force: true });
    return faults === 0;
  }
}
