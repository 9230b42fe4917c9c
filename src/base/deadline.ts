import type { Clock } from "./clock.ts";

/**
 * One thing at a time that has to happen within some time, again and again: to set it anew, or to take it back, touches no
 * timer, which looks where it stands when its own time is over.
 */
export class Deadline {
  readonly #clock: Clock;
  #onDue: (() => void) | undefined;
  #dueMs = 0;
  #timerMs = Number.POSITIVE_INFINITY;
  #cancelTimer: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Calls `onDue` in so many milliseconds, in place of what was set before. */
  set(delayMs: number, onDue: () => void): void {
    const dueMs = this.#clock.monotonicMs() + delayMs;
    this.#onDue = onDue;
    this.#dueMs = dueMs;
    if (dueMs < this.#timerMs) this.#startTimer(delayMs);
  }

  /** Nothing is to happen now. */
  clear(): void {
    this.#onDue = undefined;
  }

  /** Nothing is to happen any more: no timer is left. */
  end(): void {
    this.clear();
    this.#cancelTimer?.();
    this.#timerMs = Number.POSITIVE_INFINITY;
  }

  #startTimer(delayMs: number): void {
    this.#cancelTimer?.();
    this.#timerMs = this.#dueMs;
    this.#cancelTimer = this.#clock.after(delayMs, () => this.#look());
  }

  #look(): void {
    this.#timerMs = Number.POSITIVE_INFINITY;
    const onDue = this.#onDue;
    if (onDue === undefined) return;
    const leftMs = this.#dueMs - this.#clock.monotonicMs();
    if (leftMs > 0) {
      this.#startTimer(leftMs);
      return;
    }
    this.clear();
    onDue();
  }
}
