import { arch, release } from "node:os";
import { type PullProgress, PullWorker, pullTree } from "../artifact/index.ts";
import { createLogger, DriverError, type Libc, type Logger, loadKoffi, openLibc, systemClock } from "../base/index.ts";
import { Cache, type CacheLimits, defaultCacheLimits, lockDataDir, type Tree } from "../cache/index.ts";
import { DEFAULT_MAX_UNPACK_RATIO } from "../config/index.ts";
import { createMounter } from "../mount/index.ts";
import { type Platform, platformOfMachine } from "../oci/index.ts";
import { openRecords } from "../volume/index.ts";
import type { ClientAccess } from "./client-access.ts";
import type { DataDirLock } from "./data-dir-holder.ts";
import { dropUnlessOurs, markOurs } from "./scratch-folder.ts";
import { syncFileSystem } from "./sync-file-system.ts";

/** Where an engine keeps what it pulls. */
export interface EngineOptions {
  /** Absolute; made where it is missing. This process is the only one that writes there while the engine is open. */
  readonly dataDir: string;
  /** Whether the cache is thrown away afterwards: it need not survive a power cut, and has all of the disk. */
  readonly isScratch: boolean;
  /** Warnings and errors. */
  readonly writeLog: (line: string) => void;
  /** Gives up waiting for another process. */
  readonly signal: AbortSignal;
  /** Whose credential helpers are asked. */
  readonly access: Pick<ClientAccess, "unveil">;
  /** Told of each request that failed while it is tried again. */
  readonly onFailedTry: (message: string) => void;
  /** The lock on the data dir, which is given up at the end; undefined: it is waited for. */
  readonly lock?: DataDirLock | undefined;
}

/** One pull. */
export interface EnginePull {
  readonly access: ClientAccess;
  readonly platform: Platform | undefined;
  readonly concurrency: number;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: PullProgress) => void;
  /** See `EngineOptions`. */
  readonly onFailedTry: (message: string) => void;
}

/** What an engine works with and ends. */
interface EngineParts extends Pick<DataDirLock, "unlock"> {
  readonly log: Logger;
  readonly worker: PullWorker;
}

const wholeDisk: CacheLimits = { ...defaultCacheLimits, highPercent: 100, lowPercent: 100, minPercent: 0 };

/** Pulls into a cache, as the driver does, for a command. */
export class PullEngine implements AsyncDisposable {
  readonly cache: Cache;
  readonly #log: Logger;
  readonly #worker: PullWorker;
  readonly #unlock: () => void;

  private constructor(cache: Cache, parts: EngineParts) {
    this.cache = cache;
    this.#log = parts.log;
    this.#worker = parts.worker;
    this.#unlock = parts.unlock;
  }

  /** Takes the lock on the data dir and opens the cache in it; rejects as `lockDataDir` does. */
  static async open(options: EngineOptions): Promise<PullEngine> {
    const { dataDir, isScratch, writeLog, signal, access, onFailedTry, lock } = options;
    const clock = systemClock;
    const log = createLogger({ level: "warn", format: "text", write: writeLog });
    const libc = lock?.libc ?? openLibc(await loadKoffi(dataDir));
    const unlock = lock?.unlock ?? (await lockDataDir({ dataDir, libc, clock, log, signal }));
    try {
      if (isScratch) dropUnlessOurs(dataDir);
      const limits = isScratch ? wholeDisk : defaultCacheLimits;
      const sync = (path: string) => syncFileSystem(libc, path);
      const syncUnlessScratch = isScratch ? undefined : sync;
      const cache = await Cache.open({ dataDir, syncFileSystem: syncUnlessScratch, limits, clock, log });
      if (isScratch) markOurs(dataDir);
      cache.dataDir.requireOwnFormat();
      if (!isScratch) await holdPublished(cache, libc);
      const worker = new PullWorker(clock, { runsHere: true, unveil: access.unveil, onFailedTry });
      return new PullEngine(cache, { log, unlock, worker });
    } catch (error) {
      unlock();
      throw error;
    }
  }

  /** Makes the tree of a reference; rejects as pulls of the driver do, or with the signal's reason. */
  async pull({ access, platform, concurrency, signal, onProgress }: EnginePull): Promise<Tree> {
    const { reference, repository, credentials, caCertificates } = access;
    const resolving = {
      reference,
      repository,
      namespace: undefined,
      policy: "Always" as const,
      platform: platform ?? platformOfMachine("linux", arch()),
      credentials,
      caCertificates,
    };
    const onEvent = (event: PullProgress | object) => {
      if ("doneBytes" in event) onProgress(event);
    };
    // The process ends with the pull: nobody minds what is left in memory.
    const memory = { collect: () => undefined, collectIfGrown: () => undefined, trim: async () => undefined };
    const tools = { cache: this.cache, worker: this.#worker, clock: systemClock, log: this.#log };
    const enforceNamespaces = this.cache.isDurable;
    const options = { ...tools, enforceNamespaces, maxUnpackRatio: DEFAULT_MAX_UNPACK_RATIO, memory };
    const cancel = new AbortController();
    // What came so far is kept for what was cancelled, and thrown away for what nobody understands.
    const onAbort = () => cancel.abort(new DriverError("cancelled", "the pull was stopped"));
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    try {
      return await pullTree(options, { resolving, concurrency, signal: cancel.signal, onEvent });
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.close();
    await this.cache.close();
    this.#unlock();
  }
}

/** Volumes outlive their driver: what they show must not go to make room, though none runs at this time. */
async function holdPublished(cache: Cache, libc: Libc): Promise<void> {
  await openRecords(cache, createMounter({ libc, kernelRelease: release(), stagingFolder: cache.layout.mounts }));
}
