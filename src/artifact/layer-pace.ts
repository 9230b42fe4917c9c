import { Semaphore } from "../base/index.ts";
import type { FetchOptions } from "./layer-fetcher.ts";
import { UNPACK_PLACES } from "./unpack-places.ts";

/** Layers that are unpacked and are still made durable while others are fetched and unpacked. */
const COMMITTED_LATER = 2;

/**
 * How many layers of one pull are on their way at once: of those that are fetched as many as was asked for, and a few
 * behind them that only have to be unpacked or synced, so that no connection rests for that. No pull begins more layers
 * than can be unpacked beside each other if it need not: one that came whole would push out one that is half unpacked.
 */
export class LayerPace {
  /** How many layers may be begun at once. */
  readonly size: number;
  readonly #fetching: Semaphore;
  readonly #unpacking: Semaphore;

  constructor(concurrency: number) {
    const unpacking = Math.max(concurrency, UNPACK_PLACES);
    this.#fetching = new Semaphore(concurrency);
    this.#unpacking = new Semaphore(unpacking);
    this.size = unpacking + COMMITTED_LATER;
  }

  /** Runs `begin` when it is a layer's turn, and has it tell how far it is; rejects with the signal's reason before. */
  async run(signal: AbortSignal, begin: (how: LayerSteps) => Promise<void>): Promise<void> {
    const unpacked = await this.#unpacking.acquire(signal);
    try {
      const fetched = await this.#fetching.acquire(signal);
      try {
        await begin({ onFetched: fetched, onUnpacked: unpacked });
      } finally {
        fetched();
      }
    } finally {
      unpacked();
    }
  }
}

/** What tells how far a layer is. */
export type LayerSteps = Required<Pick<FetchOptions, "onFetched" | "onUnpacked">>;
