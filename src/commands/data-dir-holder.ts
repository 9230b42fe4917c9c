import { createLogger, DriverError, type Libc, loadKoffi, openLibc, sleep, systemClock } from "../base/index.ts";
import { createLayout, lockDataDir, requireNoOthersFolder } from "../cache/index.ts";
import { AdminClient } from "./admin-client.ts";

/** The right to write a data dir. */
export interface DataDirLock {
  readonly libc: Libc;
  /** Gives it up. */
  readonly unlock: () => void;
}

/** Whose data dir is wanted. */
export interface DataDirWish {
  readonly dataDir: string;
  /** Gives up waiting. */
  readonly signal: AbortSignal;
}

/** A driver that starts, or ends, holds the lock and serves no socket for so long at most. */
const WAIT_MS = 15_000;
const RETRY_MS = 200;

/**
 * The driver that holds a data dir, if one answers, else the lock on it. Throws "refused" if another process holds it and
 * does not answer, and for a folder that is somebody else's.
 */
export async function reachDataDir({ dataDir, signal }: DataDirWish): Promise<AdminClient | DataDirLock> {
  const path = createLayout(dataDir).adminSocket;
  const untilMs = systemClock.monotonicMs() + WAIT_MS;
  let libc: Libc | undefined;
  for (;;) {
    const client = await AdminClient.find(path);
    if (client !== undefined) return client;
    requireNoOthersFolder(dataDir);
    libc ??= openLibc(await loadKoffi(dataDir));
    const isLast = systemClock.monotonicMs() >= untilMs;
    const unlock = await tryLock({ dataDir, signal }, libc, isLast);
    if (unlock !== undefined) return { libc, unlock };
    await sleep(systemClock, RETRY_MS, signal);
  }
}

/** The lock, or undefined while another process holds it and may still begin to answer. */
async function tryLock({ dataDir, signal }: DataDirWish, libc: Libc, isLast: boolean) {
  const log = createLogger({ level: "silent", format: "text", write: () => undefined });
  try {
    return await lockDataDir({ dataDir, libc, clock: systemClock, log, signal, waitMs: 0 });
  } catch (error) {
    if (error instanceof DriverError && error.kind === "refused" && !isLast) return undefined;
    throw error;
  }
}
