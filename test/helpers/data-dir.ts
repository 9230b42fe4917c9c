import { join } from "node:path";
import type { TestContext } from "node:test";
import type { Logger } from "../../src/base/index.ts";
import { Cache, type CacheOptions, createLayout, type Layout } from "../../src/cache/index.ts";
import { ManualClock } from "../registry-client/manual-clock.ts";
import { type LogLine, useLog } from "./log-lines.ts";
import { useTempFolder } from "./temp-folder.ts";

/** A data dir in a folder of its own, as it lies on disk between the runs of a driver. */
export interface TestDataDir {
  readonly path: string;
  readonly layout: Layout;
  readonly clock: ManualClock;
  readonly log: Logger;
  readonly lines: LogLine[];
  /** The paths that were synced as a whole file system. */
  readonly synced: string[];
  /** Opens the cache, as a start of the driver does, and waits until the leftovers of earlier runs are gone. */
  open(changes?: Pick<CacheOptions, "limits" | "observer">): Promise<Cache>;
}

/** A data dir that is not there yet. Its caches are closed and it goes when the test ends; one at a `path` stays. */
export function useDataDir(t: TestContext, options: { readonly path?: string } = {}): TestDataDir {
  const path = options.path ?? join(useTempFolder(t), "data");
  const clock = new ManualClock();
  const { log, lines } = useLog();
  const synced: string[] = [];
  const syncFileSystem = async (folder: string) => void synced.push(folder);
  return {
    path,
    layout: createLayout(path),
    clock,
    log,
    lines,
    synced,
    async open(changes = {}) {
      const cache = await Cache.open({ dataDir: path, syncFileSystem, clock, log, ...changes });
      t.after(() => cache.close());
      await cache.sweeper.idle();
      return cache;
    },
  };
}
