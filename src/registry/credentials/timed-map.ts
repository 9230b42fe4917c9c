import type { Clock } from "../../base/index.ts";

const maxEntries = 1000;

/** Values that are good for a while each, by the monotonic clock. What is over is dropped, secrets with it. */
export class TimedMap<V> {
  readonly #clock: Clock;
  readonly #entries = new Map<string, { readonly value: V; readonly untilMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get(key: string): V | undefined {
    this.#dropOver();
    return this.#entries.get(key)?.value;
  }

  set(key: string, value: V, goodForMs: number): void {
    this.#dropOver();
    this.#entries.delete(key);
    this.#entries.set(key, { value, untilMs: this.#clock.monotonicMs() + goodForMs });
    const [oldest] = this.#entries.keys();
    if (this.#entries.size > maxEntries && oldest !== undefined) this.#entries.delete(oldest);
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }

  #dropOver(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [key, { untilMs }] of this.#entries) if (untilMs <= nowMs) this.#entries.delete(key);
  }
}
