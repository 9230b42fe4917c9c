import { promises as fs } from "node:fs";
import { type Clock, describeError, errnoOf, type Logger } from "../base/index.ts";
import type { VolumeKey } from "./records.ts";

/** What an upper layer takes on disk. */
export interface Usage {
  readonly bytes: number;
  readonly inodes: number;
}

/** A count rests at least so long, and nine times as long as it ran: counting never takes more than a tenth of a core. */
const MIN_REST_MS = 60_000;
const REST_FACTOR = 9;

const nothing: Usage = { bytes: 0, inodes: 0 };

/** Counts upper layers in the background, so that asking for a volume's use never walks its files. */
export class UpperUsage {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #counted = new Map<VolumeKey, { readonly usage: Usage; readonly dueMs: number }>();
  readonly #counting = new Map<VolumeKey, Promise<void>>();

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock;
    this.#log = log;
  }

  /** The use as last counted, nothing before the first count; starts the next count if one is due. */
  of(key: VolumeKey, folder: string): Usage {
    const last = this.#counted.get(key);
    const due = last === undefined || this.#clock.monotonicMs() >= last.dueMs;
    if (due && !this.#counting.has(key)) this.#startCounting(key, folder);
    return last?.usage ?? nothing;
  }

  /** Forgets a volume that is gone; a count under way is thrown away. */
  forget(key: VolumeKey): void {
    this.#counted.delete(key);
    this.#counting.delete(key);
  }

  #startCounting(key: VolumeKey, folder: string): void {
    const counting = this.#count(folder).then((counted) => {
      if (this.#counting.get(key) !== counting) return;
      this.#counting.delete(key);
      this.#counted.set(key, {
        usage: counted.usage ?? this.#counted.get(key)?.usage ?? nothing,
        dueMs: counted.dueMs,
      });
    });
    this.#counting.set(key, counting);
  }

  /** The use of a folder, undefined if it could not be counted, and when the next count may begin. Never rejects. */
  async #count(folder: string): Promise<{ readonly usage: Usage | undefined; readonly dueMs: number }> {
    const startedMs = this.#clock.monotonicMs();
    let usage: Usage | undefined;
    try {
      usage = await countFolder(folder);
    } catch (error) {
      this.#log.warn("cannot count a volume's upper layer", { folder, reason: describeError(error) });
    }
    const endedMs = this.#clock.monotonicMs();
    return { usage, dueMs: endedMs + Math.max(MIN_REST_MS, (endedMs - startedMs) * REST_FACTOR) };
  }
}

async function countFolder(root: string): Promise<Usage> {
  let bytes = 0;
  let inodes = 0;
  const folders: Buffer[] = [Buffer.from(root)];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const entry of await entriesOf(folder)) {
      const path = Buffer.concat([folder, Buffer.from("/"), entry.name]);
      inodes++;
      if (entry.isDirectory()) folders.push(path);
      else bytes += await allocatedBytes(path);
    }
  }
  return { bytes, inodes };
}

/** What pods remove while it is counted is not counted. */
async function entriesOf(folder: Buffer) {
  try {
    return await fs.readdir(folder, { withFileTypes: true, encoding: "buffer" });
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return [];
    throw error;
  }
}

async function allocatedBytes(path: Buffer): Promise<number> {
  try {
    return (await fs.lstat(path)).blocks * 512;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return 0;
    throw error;
  }
}
