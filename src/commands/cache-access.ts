import { closeSync, openSync, statSync } from "node:fs";
import { release } from "node:os";
import { type Admin, CacheAdmin } from "../admin/index.ts";
import { layersOfTree, Mender, PullWorker } from "../artifact/index.ts";
import { createLogger, createMemory, DriverError, errnoOf, type Libc, systemClock } from "../base/index.ts";
import { createMounter } from "../mount/index.ts";
import { Cache, type TreeId } from "../cache/index.ts";
import { Verifier } from "../verify/index.ts";
import { openRecords } from "../volume/index.ts";
import { AdminClient } from "./admin-client.ts";
import type { CommandContext } from "./context.ts";
import { reachDataDir } from "./data-dir-holder.ts";

/** Where a cache is administered. */
export interface CacheAccessOptions {
  readonly dataDir: string;
  readonly signal: AbortSignal;
  readonly context: CommandContext;
}

/** mend: what tar layers unpack to is bounded when they are fetched, and nothing is fetched here. */
const NO_RATIO = 0;

/**
 * Runs `use` on a cache: through the driver that holds the data dir, if one answers, else alone, with the data dir's lock.
 * Throws "not-found" where there is no data dir, "refused" if another process holds it and does not answer.
 */
export async function withCacheAdmin<T>(options: CacheAccessOptions, use: (admin: Admin) => Promise<T>): Promise<T> {
  requireDataDir(options.dataDir);
  const holder = await reachDataDir(options);
  if (holder instanceof AdminClient) return await use(holder);
  try {
    return await withCacheAlone(options, holder.libc, use);
  } finally {
    holder.unlock();
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
  const memory = createMemory(libc);
  const partsOf = (id: TreeId) => layersOfTree({ cache, memory }, id);
  const verifier = new Verifier({ cache, partsOf, clock, log });
  try {
    const mounter = createMounter({ libc, kernelRelease: release(), stagingFolder: cache.layout.mounts });
    const records = await openRecords(cache, mounter);
    const artifacts = new Mender({ cache, worker, maxUnpackRatio: NO_RATIO, memory, log });
    return await use(new CacheAdmin({ cache, artifacts, verifier, volumes: () => records.all() }));
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
