import { type Clock, sleep } from "../base/index.ts";

/** So much of the past may be made up for at once: reads come in pieces. */
const BURST_MS = 250;

/** Lets all pulls of the node together take so many bytes a second. */
export class Bandwidth {
  readonly #bytesPerMs: number;
  readonly #clock: Clock;
  /** When all that was taken so far is paid for. */
  #paidAtMs = Number.NEGATIVE_INFINITY;

  constructor(bytesPerSecond: number, clock: Clock) {
    this.#bytesPerMs = bytesPerSecond / 1000;
    this.#clock = clock;
  }

  /** Bytes came: until the promise settles nothing more may; undefined if no time is owed. Rejects with the signal's reason. */
  take(bytes: number, signal: AbortSignal): Promise<void> | undefined {
    const nowMs = this.#clock.monotonicMs();
    this.#paidAtMs = Math.max(this.#paidAtMs, nowMs - BURST_MS) + bytes / this.#bytesPerMs;
    const owedMs = this.#paidAtMs - nowMs;
    return owedMs <= 0 ? undefined : sleep(this.#clock, owedMs, signal);
  }
}
