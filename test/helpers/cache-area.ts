import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Clock, createLogger, type Logger, systemClock } from "../../src/base/index.ts";
import { Cache } from "../../src/cache/index.ts";

/** A cache in a folder of its own, with the log that it writes to. */
export interface CacheArea extends AsyncDisposable {
  /** Holds the data dir, and whatever else a test needs. */
  readonly folder: string;
  readonly dataDir: string;
  readonly cache: Cache;
  readonly log: Logger;
  /** All lines logged so far, as JSON. */
  readonly lines: string[];
}

/** Opens a fresh cache below the temporary folder, or below `parent`. Nothing is synced for the file system as a whole. */
export async function useCache(options: { readonly clock?: Clock; readonly parent?: string } = {}): Promise<CacheArea> {
  const folder = mkdtempSync(join(options.parent ?? tmpdir(), "oras-csi-cache-"));
  const dataDir = join(folder, "data");
  const lines: string[] = [];
  const log = createLogger({ level: "trace", format: "json", write: (line) => lines.push(line) });
  const clock = options.clock ?? systemClock;
  const cache = await Cache.open({ dataDir, syncFileSystem: () => Promise.resolve(), clock, log });
  return {
    folder,
    dataDir,
    cache,
    log,
    lines,
    async [Symbol.asyncDispose]() {
      await cache.sweeper.idle();
      await cache.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
