import { type Clock, DriverError } from "../base/index.ts";

/** How long a caller waits for an answer (all on the monotonic clock, milliseconds). */
export interface Patience {
  readonly deadlineMs: number;
  /** All the time that the caller gave. */
  readonly timeoutMs: number;
  /** The caller went away. */
  readonly signal: AbortSignal;
}

/** The most that is kept back for the answer itself. */
const MAX_MARGIN_MS = 5_000;

/**
 * Waits for shared work as long as the caller can: shortly before its deadline (the smaller of 5 s and 20 % before it)
 * throws what `late` makes. The work itself goes on.
 */
export function waitPatiently<T>(
  work: Promise<T>,
  options: { readonly patience: Patience; readonly clock: Clock; readonly late: () => DriverError },
): Promise<T> {
  const { patience, clock, late } = options;
  const answerAtMs = patience.deadlineMs - Math.min(MAX_MARGIN_MS, patience.timeoutMs * 0.2);
  return new Promise<T>((resolve, reject) => {
    const onAbort = () => settle(() => reject(cancelledBy(patience.signal.reason)));
    const cancelTimer = clock.after(Math.max(0, answerAtMs - clock.monotonicMs()), () => settle(() => reject(late())));
    const settle = (finish: () => void) => {
      cancelTimer();
      patience.signal.removeEventListener("abort", onAbort);
      finish();
    };
    patience.signal.addEventListener("abort", onAbort, { once: true });
    if (patience.signal.aborted) onAbort();
    work.then(
      (value) => settle(() => resolve(value)),
      (error: unknown) => settle(() => reject(error)),
    );
  });
}

function cancelledBy(reason: unknown): DriverError {
  return reason instanceof DriverError ? reason : new DriverError("cancelled", "the caller went away", reason);
}
