import { DriverError } from "../base/index.ts";
import type { VolumeKey } from "./records.ts";

/** The publish calls under way, by volume, so that an unpublish can end those that still wait. */
export class PublishesInFlight {
  readonly #running = new Map<VolumeKey, Set<AbortController>>();

  /** Runs a publish with a signal that fires when its caller goes away or the volume is unpublished. */
  async run<T>(key: VolumeKey, caller: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const controller = new AbortController();
    const onAbort = () => controller.abort(new DriverError("cancelled", "the caller went away", caller.reason));
    caller.addEventListener("abort", onAbort, { once: true });
    if (caller.aborted) onAbort();
    const running = this.#running.get(key) ?? new Set();
    this.#running.set(key, running.add(controller));
    try {
      return await work(controller.signal);
    } finally {
      caller.removeEventListener("abort", onAbort);
      running.delete(controller);
      if (running.size === 0) this.#running.delete(key);
    }
  }

  /** Ends the publish calls of a volume that did not get as far as mounting. */
  abort(key: VolumeKey): void {
    for (const controller of this.#running.get(key) ?? []) {
      controller.abort(new DriverError("in-progress", "the volume was unpublished meanwhile"));
    }
  }
}
