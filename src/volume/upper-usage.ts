import { type Dirent, promises as fs } from "node:fs";
import { type Clock, describeError, errnoOf, type Logger, unlessMissing } from "../base/index.ts";
import type { VolumeKey } from "./records.ts";

/** What an upper layer takes on disk. */
export interface Usage {
  readonly bytes: number;
  readonly inodes: number;
}

/** A count rests at least so long, and nine times as long as it ran: counting never takes more than a tenth of a core. */
const MIN_REST_MS = 60_000;
const REST_FACTOR = 9;
/** How many entries of a folder are held at once. */
const BATCH = 32;

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
    for await (const entry of entriesOf(folder)) {
      // Deno gives texts all the same.
      const name: Buffer | string = entry.name;
      const path = Buffer.concat([folder, Buffer.from("/"), Buffer.from(name)]);
      inodes++;
      if (entry.isDirectory()) folders.push(path);
      else bytes += ((await unlessGone(fs.lstat(path)))?.blocks ?? 0) * 512;
    }
  }
  return { bytes, inodes };
}

/** The entries of a folder, a few at a time: pods make folders of any size. */
async function* entriesOf(folder: Buffer): AsyncGenerator<Dirent<Buffer>> {
  const options = { encoding: "buffer" as BufferEncoding, bufferSize: BATCH };
  const opened = await unlessGone(fs.opendir(folder, options));
  if (opened !== undefined) yield* opened as unknown as AsyncIterable<Dirent<Buffer>>;
}

/** Neither what pods remove while it is counted nor what lies deeper than a path can say is counted. */
async function unlessGone<T>(looking: Promise<T>): Promise<T | undefined> {
  try {
    return await unlessMissing(looking);
  } catch (error) {
    if (errnoOf(error) === "ENAMETOOLONG") return undefined;
    throw error;
  }
}
