import { type Clock, describeError, type Logger, Semaphore } from "../base/index.ts";
import { type DiskUse, folderUse, nothingUsed } from "../cache/index.ts";
import type { VolumeKey } from "./records.ts";

/** A count rests at least so long, and nine times as long as it ran: counting never takes more than a tenth of a core. */
const MIN_REST_MS = 60_000;
const REST_FACTOR = 9;

/** Counts upper layers in the background, so that asking for a volume's use never walks its files. */
export class UpperUsage {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #counted = new Map<VolumeKey, { readonly usage: DiskUse; readonly dueMs: number }>();
  /** One folder after the other: all of them together take no more of the disk than one. */
  readonly #turn = new Semaphore(1);
  readonly #counting = new Map<VolumeKey, Promise<void>>();

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock;
    this.#log = log;
  }

  /** The use as last counted, nothing before the first count; starts the next count if one is due. */
  of(key: VolumeKey, folder: string): DiskUse {
    const last = this.#counted.get(key);
    const due = last === undefined || this.#clock.monotonicMs() >= last.dueMs;
    if (due && !this.#counting.has(key)) this.#startCounting(key, folder);
    return last?.usage ?? nothingUsed;
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
        usage: counted.usage ?? this.#counted.get(key)?.usage ?? nothingUsed,
        dueMs: counted.dueMs,
      });
    });
    this.#counting.set(key, counting);
  }

  /** The use of a folder, undefined if it could not be counted, and when the next count may begin. Never rejects. */
  async #count(folder: string): Promise<{ readonly usage: DiskUse | undefined; readonly dueMs: number }> {
    const release = await this.#turn.acquire();
    const startedMs = this.#clock.monotonicMs();
    let usage: DiskUse | undefined;
    try {
      usage = await folderUse(folder);
    } catch (error) {
      this.#log.warn("cannot count a volume's upper layer", { folder, reason: describeError(error) });
    }
    release();
    const endedMs = this.#clock.monotonicMs();
    return { usage, dueMs: endedMs + Math.max(MIN_REST_MS, (endedMs - startedMs) * REST_FACTOR) };
  }
}
