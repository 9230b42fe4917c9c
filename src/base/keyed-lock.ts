import { type Waiting, waitTurn } from "./wait-turn.ts";

/** A lock per key: holders of one key come one after the other, holders of different keys do not meet. */
export class KeyedLock {
  /** By key that is held: those who wait for it, in order. */
  readonly #waiting = new Map<string, Waiting[]>();

  /** Runs `work` while holding `key`; rejects with the signal's reason if that fires while waiting. */
  async run<T>(key: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) this.#waiting.set(key, []);
    else await waitTurn(waiting, {}, signal);
    try {
      return await work();
    } finally {
      this.#pass(key);
    }
  }

  /** Whether who wants `key` now has to wait for it. */
  isHeld(key: string): boolean {
    return this.#waiting.has(key);
  }

  #pass(key: string): void {
    const next = this.#waiting.get(key)?.shift();
    if (next === undefined) this.#waiting.delete(key);
    else next.admit();
  }
}
