import { closeSync, fstatSync, openSync, statSync } from "node:fs";
import { type Clock, DriverError, type Libc, type Logger, makeFolders, sleep } from "../base/index.ts";
import { cannotWrite } from "./data-dir.ts";
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
  /** How long a holder is waited for; 15 s if left out. */
  readonly waitMs?: number;
}

/**
 * Makes this process the only one that writes a data dir, by a kernel lock that dies with its holder, whatever kills
 * it and in whatever container. Waits some seconds for a holder to go, then throws "refused". The result gives it up.
 */
export async function lockDataDir(options: LockOptions): Promise<() => void> {
  const { dataDir, clock, log, signal } = options;
  const untilMs = clock.monotonicMs() + (options.waitMs ?? WAIT_MS);
  for (let tries = 1; ; tries++) {
    const release = await tryLock(options);
    if (release !== undefined) return release;
    if (tries === 1) log.info("another process holds the data dir: waiting for it to end", { dataDir });
    if (clock.monotonicMs() >= untilMs) {
      throw new DriverError(
        "refused",
        `another driver uses the data dir ${dataDir}: only one may write it, see --data-dir`,
      );
    }
    await sleep(clock, RETRY_MS, signal);
  }
}

async function tryLock({ dataDir, libc }: LockOptions): Promise<(() => void) | undefined> {
  const path = createLayout(dataDir).lockFile;
  const fd = await openLockFile(dataDir, path);
  let held = false;
  try {
    held = libc.tryLock(fd) && isFileAt(path, fd);
  } finally {
    if (!held) closeSync(fd);
  }
  if (!held) return undefined;
  return () => {
    if (held) closeSync(fd);
    held = false;
  };
}

async function openLockFile(dataDir: string, path: string): Promise<number> {
  try {
    await makeFolders(dataDir, 0o700);
    return openSync(path, "a+", 0o600);
  } catch (error) {
    throw cannotWrite(dataDir, error);
  }
}

/** Whether an open file is still the one at a path: a lock on a file that was removed keeps nobody out. */
function isFileAt(path: string, fd: number): boolean {
  const there = statSync(path, { throwIfNoEntry: false });
  const open = fstatSync(fd);
  return there?.ino === open.ino && there.dev === open.dev;
}
