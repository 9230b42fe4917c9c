import { Semaphore } from "./semaphore.ts";

/** A lock per key: holders of one key come one after the other, holders of different keys do not meet. */
export class KeyedLock {
  readonly #locks = new Map<string, { readonly semaphore: Semaphore; users: number }>();

  /** Runs `work` while holding `key`; rejects with the signal's reason if that fires while waiting. */
  async run<T>(key: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const lock = this.#locks.get(key) ?? { semaphore: new Semaphore(1), users: 0 };
    this.#locks.set(key, lock);
    lock.users++;
    try {
      const release = await lock.semaphore.acquire(signal);
      try {
        return await work();
      } finally {
        release();
      }
    } finally {
      if (--lock.users === 0) this.#locks.delete(key);
    }
  }
}
