import { randomUUID } from "node:crypto";
import { type Clock, DriverError, startWorker, WorkerHost } from "../base/index.ts";
import type { UnpackLimits } from "../unpack/index.ts";
import type { PlacedLayer } from "./placed-layer.ts";
import { unpackLimits } from "./unpack-limits.ts";
import { UnpackPlaces } from "./unpack-places.ts";
import { Unpacking } from "./unpacking.ts";
import type { UnpackWorkerCalls } from "./worker-calls.ts";

/** How long the unpack worker is kept when nothing is unpacked: it takes 10 MB, and starts while the first bytes come. */
const IDLE_MS = 1_000;

/** The thread that unpacks tar layers, as the pull worker sees it. */
export class LayerUnpacker {
  readonly #host: WorkerHost<UnpackWorkerCalls>;
  readonly #places = new UnpackPlaces();

  constructor(clock: Clock) {
    const start = () => startWorker("unpack-worker", new URL("./unpack-worker.ts", import.meta.url), undefined);
    this.#host = new WorkerHost({ start, idleMs: IDLE_MS, clock });
  }

  /** Ends the thread; what is being unpacked fails. */
  close(): Promise<void> {
    return this.#host.close();
  }

  /** Begins a pull with tar layers; `end` it in any case. */
  beginPull(options: PullUnpackingOptions): PullUnpacking {
    return new PullUnpacking(this.#host, this.#places, options);
  }
}

/** What is known of a pull's tar layers when it begins. */
export interface PullUnpackingOptions {
  /** The pull's folder in tmp/; whoever made it removes it with what is left in it. */
  readonly staging: string;
  readonly maxUnpackRatio: number;
  /** As of its jobs (worker-calls.ts). */
  readonly isDurable: boolean;
  /** Of all its tar layers together. */
  readonly limits: UnpackLimits;
}

/** The tar layers of one pull: they share what they may unpack to. */
export class PullUnpacking {
  readonly #host: WorkerHost<UnpackWorkerCalls>;
  readonly #places: UnpackPlaces;
  readonly #options: PullUnpackingOptions;
  readonly #pull = randomUUID();
  readonly #ended = new AbortController();

  constructor(host: WorkerHost<UnpackWorkerCalls>, places: UnpackPlaces, options: PullUnpackingOptions) {
    this.#host = host;
    this.#places = places;
    this.#options = options;
    const hold = { pull: this.#pull, limits: options.limits };
    // Ends by being cancelled; if the worker is lost, the layers' own calls say so.
    host.call("hold", hold, { signal: this.#ended.signal }).catch(() => undefined);
  }

  /** Begins to unpack a layer whose compressed file grows. */
  start(layer: PlacedLayer, file: string): Unpacking {
    const { staging, maxUnpackRatio, isDurable } = this.#options;
    const job = {
      pull: this.#pull,
      file,
      way: layer.kind === "image" ? ("image" as const) : ("artifact" as const),
      what: `layer ${JSON.stringify(layer.path)}`,
      limits: unpackLimits([layer], maxUnpackRatio),
      uncompressedDigest: layer.uncompressedDigest,
      isDurable,
    };
    const { digest } = layer.descriptor;
    return new Unpacking({ host: this.#host, places: this.#places, staging, digest, job });
  }

  end(): void {
    this.#ended.abort(new DriverError("cancelled", "the pull ended"));
  }
}
