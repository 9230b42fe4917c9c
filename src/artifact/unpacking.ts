import { randomUUID } from "node:crypto";
import { closeSync, mkdirSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { DriverError, type WorkerHost } from "../base/index.ts";
import type { StagedLayer } from "../cache/index.ts";
import { PACKING_BYTES, packingFrom } from "../unpack/index.ts";
import { Growth } from "./growing-file.ts";
import type { PlaceSeeker, UnpackPlaces } from "./unpack-places.ts";
import type { UnpackJob, UnpackWorkerCalls } from "./worker-calls.ts";

/** A layer that is unpacked, and how many of its entries were left out. */
export interface UnpackedTar {
  readonly staged: StagedLayer;
  readonly skippedEntries: number;
}

/** What an unpacking needs. */
export interface UnpackingOptions {
  readonly host: WorkerHost<UnpackWorkerCalls>;
  readonly places: UnpackPlaces;
  /** The pull's folder in tmp/. */
  readonly staging: string;
  readonly digest: StagedLayer["digest"];
  readonly job: Omit<UnpackJob, "growth" | "folder" | "indexFile">;
}

/** One layer that is being unpacked while it is fetched. */
export class Unpacking implements PlaceSeeker {
  readonly #options: UnpackingOptions;
  readonly #outcome: Promise<UnpackedTar>;
  readonly #abandoned = new AbortController();
  /** The first bytes are there, so that it is known how the tar is packed. */
  readonly #begun = Promise.withResolvers<void>();
  readonly #completed = Promise.withResolvers<void>();
  #isZstd = false;
  #isComplete = false;
  #mustGiveWay = false;
  #availableBytes = 0;
  #growth: Growth | undefined;

  constructor(options: UnpackingOptions) {
    this.#options = options;
    this.#outcome = this.#run();
    // Told by `finish`: the fetch goes on meanwhile, since only its digest says whose fault a failure is.
    this.#outcome.catch(() => undefined);
  }

  get isZstd(): boolean {
    return this.#isZstd;
  }

  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** So many bytes of the file may be read. */
  advance(bytes: number): void {
    const before = this.#availableBytes;
    this.#availableBytes = bytes;
    this.#growth?.advance(bytes);
    if (before < PACKING_BYTES && bytes >= PACKING_BYTES) this.#begin();
  }

  /** Another layer needs the place; what was unpacked so far is thrown away. */
  giveWay(): void {
    this.#mustGiveWay = true;
    this.#growth?.abandon();
  }

  /** All bytes are there and verified: what the layer became. */
  async finish(): Promise<UnpackedTar> {
    this.#isComplete = true;
    this.#growth?.complete();
    this.#completed.resolve();
    this.#begun.resolve();
    this.#options.places.settle();
    return await this.#outcome;
  }

  /** Gives up; resolves when nothing writes any more. What was written is left to the pull's staging folder. */
  async abandon(): Promise<void> {
    this.#abandoned.abort(new DriverError("cancelled", "the layer is not wanted any more"));
    this.#growth?.abandon();
    this.#completed.resolve();
    this.#begun.resolve();
    await this.#outcome.catch(() => undefined);
  }

  #begin(): void {
    const file = openSync(this.#options.job.file, "r");
    try {
      const start = Buffer.alloc(PACKING_BYTES);
      this.#isZstd = packingFrom(start.subarray(0, readSync(file, start))) === "zstd";
    } finally {
      closeSync(file);
    }
    this.#begun.resolve();
  }

  async #run(): Promise<UnpackedTar> {
    await this.#begun.promise;
    for (;;) {
      this.#mustGiveWay = false;
      await this.#options.places.enter(this, this.#abandoned.signal);
      try {
        return await this.#unpack();
      } catch (error) {
        this.#abandoned.signal.throwIfAborted();
        if (!this.#mustGiveWay) throw error;
      } finally {
        this.#options.places.leave(this);
      }
      await this.#completed.promise;
    }
  }

  async #unpack(): Promise<UnpackedTar> {
    const { host, staging, digest, job } = this.#options;
    const folder = join(staging, randomUUID());
    const staged: StagedLayer = { digest, way: job.way, folder, indexFile: `${folder}.index` };
    mkdirSync(folder);
    const growth = new Growth();
    growth.advance(this.#availableBytes);
    if (this.#isComplete) growth.complete();
    // Told between being let in and this, when there was nothing to end yet.
    if (this.#mustGiveWay || this.#abandoned.signal.aborted) growth.abandon();
    this.#growth = growth;
    const payload = { ...job, growth: growth.shared, folder, indexFile: staged.indexFile };
    const { skippedEntries, use } = await host.call("unpack", payload);
    return { staged: { ...staged, ...(use && { use }) }, skippedEntries };
  }
}
