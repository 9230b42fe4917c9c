import type { Clock, Logger } from "../base/index.ts";

/** Calls in flight have 10 s, all else takes milliseconds; kubelet kills after 30 s. */
const CLOSE_MS = 25_000;
/** A process with nothing left to do ends in milliseconds. */
const LINGER_MS = 1_000;

/** What is closed. */
export interface Closable {
  close(): Promise<void>;
  /** Ends the process at once, whatever its threads hang in. */
  exit(code: number): void;
}

/**
 * Closes the driver, and sees to it that the process ends: threads that look at file systems which never answer would
 * keep it, and closing itself, for as long as those hang. Throws what closing throws.
 */
export async function closeInTime(
  driver: Closable,
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
): Promise<void> {
  const cancel = clock.after(CLOSE_MS, () => {
    log.warn("the driver does not come to an end, and is ended", { seconds: CLOSE_MS / 1000 });
    driver.exit(0);
  });
  let code = 1;
  try {
    await driver.close();
    code = 0;
  } finally {
    cancel();
    clock.after(LINGER_MS, () => driver.exit(code));
  }
}
