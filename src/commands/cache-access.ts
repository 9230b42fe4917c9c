import { closeSync, openSync, statSync } from "node:fs";
import { release } from "node:os";
import { type Admin, CacheAdmin } from "../admin/index.ts";
import { Mender, PullWorker } from "../artifact/index.ts";
import {
  createLogger,
  createMemory,
  DriverError,
  errnoOf,
  type Libc,
  loadKoffi,
  openLibc,
  sleep,
  systemClock,
} from "../base/index.ts";
import { createMounter } from "../mount/index.ts";
import { Cache, createLayout, lockDataDir } from "../cache/index.ts";
import { Verifier } from "../verify/index.ts";
import { openRecords } from "../volume/index.ts";
import { AdminClient } from "./admin-client.ts";
import type { CommandContext } from "./context.ts";

/** Where a cache is administered. */
export interface CacheAccessOptions {
  readonly dataDir: string;
  readonly signal: AbortSignal;
  readonly context: CommandContext;
}

/** A driver that starts, or ends, holds the lock and serves no socket for so long at most. */
const WAIT_MS = 15_000;
const RETRY_MS = 200;
/** mend: what tar layers unpack to is bounded when they are fetched, and nothing is fetched here. */
const NO_RATIO = 0;

/**
 * Runs `use` on a cache: through the driver that holds the data dir, if one answers, else alone, with the data dir's lock.
 * Throws "not-found" where there is no data dir, "refused" if another process holds it and does not answer.
 */
export async function withCacheAdmin<T>(options: CacheAccessOptions, use: (admin: Admin) => Promise<T>): Promise<T> {
  const { dataDir, signal } = options;
  requireDataDir(dataDir);
  const path = createLayout(dataDir).adminSocket;
  const untilMs = systemClock.monotonicMs() + WAIT_MS;
  let libc: Libc | undefined;
  for (;;) {
    const client = await AdminClient.find(path);
    if (client !== undefined) return await use(client);
    libc ??= openLibc(await loadKoffi(dataDir));
    const unlock = await tryLock(options, libc, systemClock.monotonicMs() >= untilMs);
    if (unlock !== undefined) {
      try {
        return await withCacheAlone(options, libc, use);
      } finally {
        unlock();
      }
    }
    await sleep(systemClock, RETRY_MS, signal);
  }
}

/** The lock, or undefined while another process holds it and may still begin to answer. */
async function tryLock({ dataDir, signal }: CacheAccessOptions, libc: Libc, isLast: boolean) {
  const log = createLogger({ level: "silent", format: "text", write: () => undefined });
  try {
    return await lockDataDir({ dataDir, libc, clock: systemClock, log, signal, waitMs: 0 });
  } catch (error) {
    if (error instanceof DriverError && error.kind === "refused" && !isLast) return undefined;
    throw error;
  }
}

async function withCacheAlone<T>(
  { dataDir, context }: CacheAccessOptions,
  libc: Libc,
  use: (admin: Admin) => Promise<T>,
): Promise<T> {
  const clock = systemClock;
  const log = createLogger({ level: "warn", format: "text", write: context.writeError });
  const syncFileSystem = (path: string) => syncAt(libc, path);
  const cache = await Cache.open({ dataDir, syncFileSystem, clock, log });
  const worker = new PullWorker(clock);
  const verifier = new Verifier({ cache, clock, log });
  try {
    const mounter = createMounter({ libc, kernelRelease: release(), stagingFolder: cache.layout.mounts });
    const records = await openRecords(cache, mounter);
    const memory = createMemory(libc);
    const artifacts = new Mender({ cache, worker, maxUnpackRatio: NO_RATIO, memory, log });
    return await use(new CacheAdmin({ cache, artifacts, verifier, volumes: () => records.all(), clock }));
  } finally {
    // What was taken away is freed before this ends: nobody else would do it soon.
    await cache.sweeper.idle();
    await verifier.close();
    await worker.close();
    await cache.close();
  }
}

function requireDataDir(path: string): void {
  const found = statOf(path);
  if (found === "ENOENT" || found === "ENOTDIR") {
    throw new DriverError("not-found", `there is no data dir ${path}: see --data-dir`);
  }
  if (found !== undefined) throw new DriverError("unavailable", `cannot look into the data dir ${path} (${found})`);
}

/** The error's name, if a path cannot be opened as a folder. */
function statOf(path: string): string | undefined {
  try {
    closeSync(openSync(path, "r"));
    return statSync(path).isDirectory() ? undefined : "ENOTDIR";
  } catch (error) {
    return errnoOf(error) ?? "an unknown error";
  }
}

async function syncAt(libc: Libc, path: string): Promise<void> {
  const fd = openSync(path, "r");
  try {
    await libc.syncFileSystem(fd);
  } finally {
    closeSync(fd);
  }
}
