import { randomUUID } from "node:crypto";
import { promises as fs } from "node:fs";
import { join } from "node:path";
import { formatBytes } from "../artifact/index.ts";
import { type Clock, errnoOf } from "../base/index.ts";
import type { CacheLimits, Fullness } from "../cache/index.ts";
import type { StorageHealthEntry } from "./volume-service.ts";

/** A disk that has not taken a few bytes by then hangs. */
const PATIENCE_MS = 5_000;

/** What a probe needs. */
export interface StorageProbeOptions {
  /** For messages. */
  readonly dataDir: string;
  /** Writes something there and takes it away again; rejects with the system's error. */
  readonly tryWriting: () => Promise<void>;
  readonly clock: Clock;
}

/** The entry of a cache that is too full, and of which nothing more can go; nothing while there is none. */
export function fullnessEntries(
  fullness: Fullness | undefined,
  { dataDir, limits }: { readonly dataDir: string; readonly limits: CacheLimits },
): readonly StorageHealthEntry[] {
  if (fullness === undefined) return [];
  const { by, usage } = fullness;
  const { total, fileSystem } = usage;
  const has = `the cache in ${dataDir} takes ${formatBytes(total.bytes)}`;
  const rest = "nothing more can go: volumes that run and pins keep the rest, or others filled the disk";
  if (by === "max-bytes") {
    const message = `${has}, which is more than --cache-max-bytes ${formatBytes(limits.maxBytes ?? 0)}, and ${rest}`;
    return [{ status: "degraded", reason: "CacheAboveMaxBytes", message }];
  }
  const { totalBytes, availableBytes, totalInodes, availableInodes } = fileSystem;
  const [all, free] = by === "bytes" ? [totalBytes, availableBytes] : [totalInodes, availableInodes];
  const percent = Math.floor((1 - free / all) * 100);
  const what = by === "bytes" ? "bytes" : "inodes";
  const message = `${percent} % of the ${what} of its file system are used, the high mark is ${limits.highPercent} %; ${has}, and ${rest}`;
  return [{ status: "degraded", reason: "CacheAboveHighMark", message }];
}

/** Finds out whether the data dir can be written, by trying. A disk that hangs has one try waiting on it, never more. */
export class StorageProbe {
  readonly #options: StorageProbeOptions;
  #running: { readonly untilMs: number; readonly outcome: Promise<readonly StorageHealthEntry[]> } | undefined;

  constructor(options: StorageProbeOptions) {
    this.#options = options;
  }

  /** What is wrong with the data dir, empty if nothing is; an answer comes within seconds. Never rejects. */
  check(): Promise<readonly StorageHealthEntry[]> {
    const { clock } = this.#options;
    this.#running ??= this.#start();
    const { untilMs, outcome } = this.#running;
    return new Promise((resolve) => {
      const cancel = clock.after(untilMs - clock.monotonicMs(), () => resolve([this.#hanging()]));
      void outcome.then((entries) => {
        cancel();
        resolve(entries);
      });
    });
  }

  #start() {
    const { tryWriting, clock } = this.#options;
    const outcome = tryWriting()
      .then(
        () => [],
        (error: unknown) => [this.#entryFrom(error)],
      )
      .finally(() => {
        this.#running = undefined;
      });
    return { untilMs: clock.monotonicMs() + PATIENCE_MS, outcome };
  }

  #hanging(): StorageHealthEntry {
    const message = `the data dir ${this.#options.dataDir} does not answer: a write to it has not ended for ${PATIENCE_MS / 1000} s or more`;
    return { status: "unreachable", reason: "DataDirHangs", message };
  }

  #entryFrom(error: unknown): StorageHealthEntry {
    const code = errnoOf(error) ?? "an unknown error";
    const where = `the data dir ${this.#options.dataDir}`;
    const kept = "what is mounted stays, but new volumes cannot be published";
    if (code === "ENOSPC" || code === "EDQUOT") {
      return {
        status: "unreachable",
        reason: "DataDirFull",
        message: `the disk below ${where} is full (${code}): ${kept}`,
      };
    }
    if (code === "EROFS") {
      return { status: "unreachable", reason: "DataDirReadOnly", message: `${where} is read-only (${code}): ${kept}` };
    }
    return {
      status: "unreachable",
      reason: "DataDirUnwritable",
      message: `${where} cannot be written (${code}): ${kept}`,
    };
  }
}

/** Writes a small file to a folder, makes it durable and removes it. */
export async function tryWritingTo(folder: string): Promise<void> {
  const path = join(folder, `probe-${randomUUID()}`);
  try {
    await fs.writeFile(path, "can this be written?\n", { flag: "wx", mode: 0o600, flush: true });
  } finally {
    await fs.rm(path, { force: true });
  }
}
