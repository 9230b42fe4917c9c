import { uptime } from "node:os";

/** Time as the driver sees it. Tests hand in one of their own; nothing else in src/ reads a clock or sets a timer. */
export interface Clock {
  /** Wall clock, milliseconds since 1970. May jump: use it for what is written down, never for waiting. */
  now(): number;
  /** Milliseconds since the node started, or a little less; never goes back. */
  monotonicMs(): number;
  /**
   * Calls `run` once after `delayMs`; the returned function cancels it. With `"hold-process"` the process does not end
   * meanwhile because it has nothing else to do.
   */
  after(delayMs: number, run: () => void, hold?: "hold-process"): () => void;
}

/** The longest delay that setTimeout knows: 24.8 days. */
const LONGEST_TIMER_MS = 0x7fffffff;

/** When this thread began to count, on the monotonic clock. */
const FIRST_MS = uptime() * 1000 - performance.now();

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => FIRST_MS + performance.now(),
  after(delayMs, run, hold) {
    const start = (leftMs: number) => {
      const stepMs = Math.min(leftMs, LONGEST_TIMER_MS);
      timer = setTimeout(() => (leftMs > stepMs ? start(leftMs - stepMs) : run()), stepMs);
      if (hold === undefined) timer.unref();
    };
    let timer: ReturnType<typeof setTimeout>;
    start(delayMs);
    return () => clearTimeout(timer);
  },
};

/**
 * Resolves after `delayMs`; rejects with the signal's reason if that fires first. Leaves no listener behind. What can
 * be given up by a signal is waited for in earnest, so the process stays alive; it does not for the rest.
 */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = () => {
      cancel();
      reject(signal?.reason);
    };
    const onTime = () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    };
    const cancel = clock.after(delayMs, onTime, signal === undefined ? undefined : "hold-process");
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
