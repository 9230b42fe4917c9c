import { randomUUID } from "node:crypto";
import { type Dir, type Dirent, promises as fs } from "node:fs";
import { join } from "node:path";
import { describeError, errnoOf, type Logger } from "../base/index.ts";

/** How many entries of a folder are removed at once: enough to keep a disk busy, too few to starve other file calls. */
const BATCH = 32;

/**
 * Deletes folders of any size and depth in the background. A folder is renamed into tmp/ first, so that it is gone at
 * once and a crash leaves it where the next start sweeps. Subfolders are moved up beside it before they are emptied:
 * no path grows, so trees deeper than PATH_MAX go, too. Nothing is followed: links are unlinked.
 */
export class Sweeper {
  readonly #tmp: string;
  readonly #log: Logger;
  readonly #queue: string[] = [];
  #running: Promise<void> | undefined;
  #closed = false;

  /** `tmp` is the data dir's tmp folder; all that is moved there must be on its file system. */
  constructor(tmp: string, log: Logger) {
    this.#tmp = tmp;
    this.#log = log;
  }

  /** Takes a file or folder away at once; what is not there is no error. Its bytes are freed later. */
  async discard(path: string): Promise<void> {
    const aside = join(this.#tmp, `gone-${randomUUID()}`);
    try {
      await fs.rename(path, aside);
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return;
      throw error;
    }
    this.#enqueue(aside);
  }

  /** Queues what earlier runs left in tmp/. Call it before this run stages anything there. */
  async sweepLeftovers(): Promise<void> {
    for (const name of await fs.readdir(this.#tmp)) this.#enqueue(join(this.#tmp, name));
  }

  /** Resolves when nothing is left to delete. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  /** Stops after the batch under way; the rest is left to the next start. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  #enqueue(path: string): void {
    this.#queue.push(path);
    this.#running ??= this.#drain().finally(() => {
      this.#running = undefined;
    });
  }

  async #drain(): Promise<void> {
    for (let path = this.#queue.pop(); path !== undefined && !this.#closed; path = this.#queue.pop()) {
      try {
        await this.#remove(path);
      } catch (error) {
        this.#log.warn("cannot delete what is left in tmp", { path, reason: describeError(error) });
      }
    }
  }

  async #remove(path: string): Promise<void> {
    const folder = await openFolder(path);
    if (folder === undefined) return void (await fs.rm(path, { force: true }));
    for await (const batch of batches(folder)) {
      if (this.#closed) return;
      await Promise.all(batch.map((entry) => this.#removeEntry(path, entry)));
    }
    await fs.rmdir(path);
  }

  async #removeEntry(folder: string, entry: Dirent<Buffer>): Promise<void> {
    const path = Buffer.concat([Buffer.from(`${folder}/`), entry.name]);
    if (!entry.isDirectory()) return fs.unlink(path);
    const raised = join(this.#tmp, `gone-${randomUUID()}`);
    await fs.rename(path, raised);
    this.#queue.push(raised);
  }
}

/** Opens a folder itself (never the target of a link); undefined if it is no folder or is gone. */
async function openFolder(path: string): Promise<Dir | undefined> {
  try {
    if (!(await fs.lstat(path)).isDirectory()) return undefined;
    // A folder from a pod's upper layer may have any mode: the driver need not be root to empty it.
    await fs.chmod(path, 0o700);
    return await fs.opendir(path, { encoding: "buffer" as BufferEncoding, bufferSize: BATCH });
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function* batches(folder: Dir): AsyncGenerator<Dirent<Buffer>[]> {
  let batch: Dirent<Buffer>[] = [];
  for await (const entry of folder as unknown as AsyncIterable<Dirent<Buffer>>) {
    batch.push(entry);
    if (batch.length < BATCH) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
