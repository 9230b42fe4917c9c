import type { Clock } from "../../src/base/index.ts";

/** A clock that stands still until a test moves it. Short timers (pauses between tries) can be let pass at once. */
export class ManualClock implements Clock {
  /** Delays of the timers that passed at once, in order. */
  readonly passed: number[] = [];
  readonly #passBelowMs: number;
  readonly #timers = new Set<{ atMs: number; run: () => void }>();
  #ms = 1_000_000;

  constructor(options: { readonly passBelowMs?: number } = {}) {
    this.#passBelowMs = options.passBelowMs ?? 0;
  }

  now(): number {
    return Date.UTC(2026, 0, 2, 3, 0, 0) + this.#ms - 1_000_000;
  }

  monotonicMs(): number {
    return this.#ms;
  }

  after(delayMs: number, run: () => void): () => void {
    const timer = { atMs: this.#ms + delayMs, run };
    this.#timers.add(timer);
    if (delayMs < this.#passBelowMs) {
      this.passed.push(delayMs);
      setImmediate(() => this.advance(Math.max(0, timer.atMs - this.#ms)));
    }
    return () => this.#timers.delete(timer);
  }

  /** How many timers are set. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Moves on and runs what is due, in order. */
  advance(byMs: number): void {
    this.#ms += byMs;
    const due = [...this.#timers].filter(({ atMs }) => atMs <= this.#ms).sort((a, b) => a.atMs - b.atMs);
    for (const timer of due) if (this.#timers.delete(timer)) timer.run();
  }
}
