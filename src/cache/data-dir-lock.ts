import { closeSync, openSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { type Clock, DriverError, type Libc, type Logger, sleep } from "../base/index.ts";
import { createLayout } from "./layout.ts";

/** How long the lock's holder is waited for: a driver that is being replaced needs some seconds to end. */
const WAIT_MS = 15_000;
const RETRY_MS = 200;

/** What locking needs. */
export interface LockOptions {
  readonly dataDir: string;
  readonly libc: Libc;
  readonly clock: Clock;
  readonly log: Logger;
  /** Ends the wait. */
  readonly signal: AbortSignal;
}

/**
 * Makes this process the only one that writes a data dir, by a kernel lock that dies with its holder, whatever kills
 * it and in whatever container. Waits some seconds for a holder to go, then throws "refused". The result gives it up.
 */
export async function lockDataDir(options: LockOptions): Promise<() => void> {
  const { dataDir, libc, clock, log, signal } = options;
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const fd = openSync(createLayout(dataDir).lockFile, "a+", 0o600);
  try {
    const untilMs = clock.monotonicMs() + WAIT_MS;
    for (let tries = 1; !libc.tryLock(fd); tries++) {
      if (tries === 1) log.info("another process holds the data dir: waiting for it to end", { dataDir });
      if (clock.monotonicMs() >= untilMs) {
        throw new DriverError(
          "refused",
          `another driver uses the data dir ${dataDir}: only one may write it, see --data-dir`,
        );
      }
      await sleep(clock, RETRY_MS, signal);
    }
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return () => closeSync(fd);
}
