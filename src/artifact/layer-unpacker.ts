import { randomUUID } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Clock, DriverError, startWorker, WorkerHost } from "../base/index.ts";
import type { StagedLayer } from "../cache/index.ts";
import { Growth } from "./growing-file.ts";
import type { PlacedLayer } from "./plan.ts";
import type { UnpackWorkerCalls } from "./worker-calls.ts";

/** How long the unpack worker is kept when nothing is unpacked. */
const IDLE_MS = 10_000;
/** Below this a tar layer is never too large, whatever its packed size. */
const ALWAYS_ALLOWED_BYTES = 1024 ** 3;

/** The thread that unpacks tar layers, as the pull worker sees it. */
export class LayerUnpacker {
  readonly #host: WorkerHost<UnpackWorkerCalls>;

  constructor(clock: Clock) {
    const start = () => startWorker("unpack-worker", new URL("./unpack-worker.ts", import.meta.url), undefined);
    this.#host = new WorkerHost({ start, idleMs: IDLE_MS, clock });
  }

  /** Begins a pull with tar layers of so many packed bytes in all; `end` it in any case. */
  beginPull(options: PullUnpackingOptions): PullUnpacking {
    return new PullUnpacking(this.#host, options);
  }
}

/** What is known of a pull's tar layers when it begins. */
export interface PullUnpackingOptions {
  /** The pull's folder in tmp/; whoever made it removes it with what is left in it. */
  readonly staging: string;
  readonly maxUnpackRatio: number;
  /** Of all its tar layers. */
  readonly packedBytes: number;
}

/** The tar layers of one pull: they share what they may unpack to. */
export class PullUnpacking {
  readonly #host: WorkerHost<UnpackWorkerCalls>;
  readonly #staging: string;
  readonly #maxUnpackRatio: number;
  readonly #pull = randomUUID();
  readonly #ended = new AbortController();

  constructor(host: WorkerHost<UnpackWorkerCalls>, options: PullUnpackingOptions) {
    this.#host = host;
    this.#staging = options.staging;
    this.#maxUnpackRatio = options.maxUnpackRatio;
    const hold = { pull: this.#pull, maxBytes: this.#maxBytes(options.packedBytes) };
    // Ends by being cancelled; if the worker is lost, the layers' own calls say so.
    host.call("hold", hold, { signal: this.#ended.signal }).catch(() => undefined);
  }

  /** Begins to unpack a layer whose compressed file grows. */
  start(layer: PlacedLayer, file: string): Unpacking {
    const { digest, size } = layer.descriptor;
    const folder = join(this.#staging, randomUUID());
    const staged: StagedLayer = { digest, way: "artifact", folder, indexFile: `${folder}.index` };
    mkdirSync(folder);
    const growth = new Growth();
    const outcome = this.#host.call("unpack", {
      pull: this.#pull,
      file,
      growth: growth.shared,
      folder,
      indexFile: staged.indexFile,
      what: `layer ${JSON.stringify(layer.path)}`,
      maxBytes: this.#maxBytes(size),
      uncompressedDigest: layer.uncompressedDigest,
    });
    return new Unpacking(staged, growth, outcome);
  }

  end(): void {
    this.#ended.abort(new DriverError("cancelled", "the pull ended"));
  }

  #maxBytes(packedBytes: number): number {
    if (this.#maxUnpackRatio === 0) return Number.MAX_SAFE_INTEGER;
    return Math.max(ALWAYS_ALLOWED_BYTES, packedBytes * this.#maxUnpackRatio);
  }
}

/** One layer that is being unpacked while it is fetched. */
export class Unpacking {
  readonly #staged: StagedLayer;
  readonly #growth: Growth;
  readonly #outcome: Promise<{ readonly skippedEntries: number }>;

  constructor(staged: StagedLayer, growth: Growth, outcome: Promise<{ readonly skippedEntries: number }>) {
    this.#staged = staged;
    this.#growth = growth;
    this.#outcome = outcome;
    // Told by `finish`: the fetch goes on meanwhile, since only its digest says whose fault a failure is.
    outcome.catch(() => undefined);
  }

  /** So many bytes of the file may be read. */
  advance(bytes: number): void {
    this.#growth.advance(bytes);
  }

  /** All bytes are there and verified: the staged layer, and how many entries were left out. */
  async finish(): Promise<{ readonly staged: StagedLayer; readonly skippedEntries: number }> {
    this.#growth.complete();
    const { skippedEntries } = await this.#outcome;
    return { staged: this.#staged, skippedEntries };
  }

  /** Gives up; resolves when nothing writes any more. What was written is left to the pull's staging folder. */
  async abandon(): Promise<void> {
    this.#growth.abandon();
    await this.#outcome.catch(() => undefined);
  }
}
