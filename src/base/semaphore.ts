/** Lets at most `size` holders in at once; the others wait in the order they came, those in a hurry before the rest. */
export class Semaphore {
  #free: number;
  readonly #waiting: { readonly admit: () => void; readonly isUrgent: boolean }[] = [];

  constructor(size: number) {
    this.#free = size;
  }

  /** How many wait for a place. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Waits for a place and returns what gives it back (once); rejects with the signal's reason if that fires first. */
  async acquire(signal?: AbortSignal, hurry?: "urgent"): Promise<() => void> {
    signal?.throwIfAborted();
    if (this.#free > 0) this.#free--;
    else await this.#wait(signal, hurry === "urgent");
    return this.#held();
  }

  /** A place without waiting, and what gives it back; undefined if none is free. */
  tryAcquire(): (() => void) | undefined {
    if (this.#free === 0) return undefined;
    this.#free--;
    return this.#held();
  }

  #held(): () => void {
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#release();
    };
  }

  #wait(signal: AbortSignal | undefined, isUrgent: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#waiting.splice(this.#waiting.indexOf(entry), 1);
        reject(signal?.reason);
      };
      const entry = {
        isUrgent,
        admit: () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        },
      };
      const rest = isUrgent ? this.#waiting.findIndex((other) => !other.isUrgent) : -1;
      this.#waiting.splice(rest < 0 ? this.#waiting.length : rest, 0, entry);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  #release(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next.admit();
  }
}
