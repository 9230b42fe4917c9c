import { randomInt } from "node:crypto";
import { type Clock, type Logger, sleep } from "../base/index.ts";
import { TransportError } from "./http/transport-error.ts";
import { StatusError } from "./status-error.ts";

/** How long a host is bothered with one request. */
export interface RetryPolicy {
  readonly maxTries: number;
  /** For all tries and the pauses between them. */
  readonly budgetMs: number;
  /** The first pause, doubled each time. */
  readonly firstPauseMs: number;
}

/** contract.md, Codes: "5 tries and 30 s a host". */
export const defaultRetryPolicy: RetryPolicy = { maxTries: 5, budgetMs: 30_000, firstPauseMs: 500 };

// The longest that one try can take before its first byte; more was spent waiting for a free connection, which is not
// the host's fault.
const longestTryMs = 20_000;

/** What a retrier needs. */
export interface RetrierOptions {
  readonly clock: Clock;
  readonly policy: RetryPolicy;
  readonly log: Logger;
  readonly signal: AbortSignal | undefined;
  /** Told of each failure after which there is another try. */
  readonly onFailedTry: (error: unknown) => void;
}

/** Counts the tries of one request. */
export class Retrier {
  readonly #clock: Clock;
  readonly #policy: RetryPolicy;
  readonly #signal: AbortSignal | undefined;
  readonly #log: Logger;
  readonly #onFailedTry: (error: unknown) => void;
  #failures = 0;
  #spentMs = 0;
  #tryStartedMs = 0;

  constructor(options: RetrierOptions) {
    this.#clock = options.clock;
    this.#policy = options.policy;
    this.#signal = options.signal;
    this.#log = options.log;
    this.#onFailedTry = options.onFailedTry;
  }

  /** Begins a try; how many milliseconds it may take to be answered. */
  begin(): number {
    this.#tryStartedMs = this.#clock.monotonicMs();
    return this.#policy.budgetMs - this.#spentMs;
  }

  /** The host is moving: what went wrong before is forgiven. */
  progressed(): void {
    this.#failures = 0;
    this.#spentMs = 0;
  }

  /**
   * Waits until another try is due after `error`; throws it if none is. A Retry-After is honoured if it ends within
   * the budget; else waiting would be in vain.
   */
  async waitAfter(error: unknown): Promise<void> {
    if (!mayPass(error)) throw error;
    this.#failures++;
    this.#spentMs += Math.min(this.#clock.monotonicMs() - this.#tryStartedMs, longestTryMs);
    const askedMs = error instanceof StatusError ? error.retryAfterMs : undefined;
    const pauseMs = askedMs ?? this.#pauseMs();
    if (this.#failures >= this.#policy.maxTries || this.#spentMs + pauseMs >= this.#policy.budgetMs) throw error;
    this.#spentMs += pauseMs;
    this.#log.debug("registry request failed, trying again", { host: error.host, reason: error.message, pauseMs });
    this.#onFailedTry(error);
    await sleep(this.#clock, pauseMs, this.#signal);
  }

  #pauseMs(): number {
    const fullMs = this.#policy.firstPauseMs * 2 ** (this.#failures - 1);
    return fullMs / 2 + randomInt(0, Math.ceil(fullMs / 2) + 1);
  }
}

/** Runs `attempt` until it succeeds or its error is final. */
export async function withRetries<T>(retrier: Retrier, attempt: (patienceMs: number) => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await attempt(retrier.begin());
    } catch (error) {
      await retrier.waitAfter(error);
    }
  }
}

function mayPass(error: unknown): error is TransportError | StatusError {
  return (error instanceof TransportError || error instanceof StatusError) && error.mayPass;
}
