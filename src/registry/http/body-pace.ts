import type { Clock } from "../../base/index.ts";

/** A connection that brings less than this a second, over all of a window, is as good as silent. */
const LEAST_BYTES_PER_SECOND = 1024;
const SHORTEST_WINDOW_MS = 5 * 60_000;
/** Of the longest silence: who lets connections be silent for long expects little of them. */
const SILENCES_PER_WINDOW = 10;

/**
 * Tells whether a body still comes: not after a silence that is too long, nor where one byte now and then would hold a
 * pull's place for ever. Time in which the connection is not read counts for nothing: nobody knows what it would bring.
 */
export class BodyPace {
  readonly #clock: Clock;
  readonly #stallTimeoutMs: number;
  readonly #windowMs: number;
  #silentSinceMs: number;
  #windowSinceMs: number;
  #windowBytes = 0;
  #restingSinceMs: number | undefined;

  constructor(clock: Clock, stallTimeoutMs: number) {
    this.#clock = clock;
    this.#stallTimeoutMs = stallTimeoutMs;
    this.#windowMs = Math.max(SHORTEST_WINDOW_MS, SILENCES_PER_WINDOW * stallTimeoutMs);
    this.#silentSinceMs = clock.monotonicMs();
    this.#windowSinceMs = this.#silentSinceMs;
  }

  /** Bytes came, or what came was taken. */
  moved(bytes: number): void {
    this.#silentSinceMs = this.#clock.monotonicMs();
    this.#windowBytes += bytes;
  }

  /** The connection is not read now. */
  rest(): void {
    this.#restingSinceMs ??= this.#clock.monotonicMs();
  }

  /** It is read again. */
  wake(): void {
    const nowMs = this.#clock.monotonicMs();
    this.#windowSinceMs += nowMs - (this.#restingSinceMs ?? nowMs);
    this.#restingSinceMs = undefined;
    this.#silentSinceMs = nowMs;
  }

  /** Why the connection is to be cut; undefined where it goes on. To be asked each time when `dueMs` is over. */
  problem(): string | undefined {
    if (this.#restingSinceMs !== undefined) return undefined;
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#silentSinceMs >= this.#stallTimeoutMs) return "the connection brought nothing more";
    const windowMs = nowMs - this.#windowSinceMs;
    if (windowMs < this.#windowMs) return undefined;
    const isTooLittle = this.#windowBytes < (windowMs / 1000) * LEAST_BYTES_PER_SECOND;
    this.#windowSinceMs = nowMs;
    this.#windowBytes = 0;
    return isTooLittle ? "the connection brought next to nothing for minutes" : undefined;
  }

  /** In how many milliseconds there may be a problem. */
  get dueMs(): number {
    const silentMs = this.#restingSinceMs === undefined ? this.#clock.monotonicMs() - this.#silentSinceMs : 0;
    return this.#stallTimeoutMs - silentMs;
  }
}
