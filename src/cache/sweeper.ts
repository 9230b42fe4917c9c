import { randomUUID } from "node:crypto";
import { type Dir, type Dirent, promises as fs } from "node:fs";
import { join } from "node:path";
import { describeError, errnoOf, type Logger } from "../base/index.ts";

/** How many entries of a folder are removed at once: enough to keep a disk busy, too few to starve other file calls. */
const BATCH = 32;

/** How many subfolders of one folder are raised before they are emptied: what is queued stays small. */
const MOST_RAISED = 1000;

/**
 * Deletes folders of any size and depth in the background. A folder is renamed into tmp/ first, so that it is gone at
 * once and a crash leaves it where the next start sweeps. Subfolders are raised, moved up beside it, before they are
 * emptied: no path grows, so trees deeper than PATH_MAX go, too. Nothing is followed: links are unlinked, and a folder
 * that something is mounted on cannot be moved, so nothing is deleted through a mount.
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
    const aside = this.#freshName();
    if (await move(path, aside)) this.#enqueue(aside);
  }

  /**
   * As `discard`, for what nobody uses any more: where a full disk has no room for its name in tmp/, it is emptied in its
   * place. That is waited for: others may put something there afterwards.
   */
  async discardOrEmpty(path: string): Promise<void> {
    try {
      await this.discard(path);
    } catch (error) {
      if (!["ENOSPC", "EDQUOT"].includes(errnoOf(error) ?? "")) throw error;
      this.#enqueue(path);
      await this.idle();
    }
  }

  /** Takes away what earlier runs left in tmp/, however much. Call it before this run stages anything there. */
  async sweepLeftovers(): Promise<void> {
    const aside = oldTmp(this.#tmp);
    // Of a start that was killed before the last of these steps.
    await move(aside, this.#freshName());
    await fs.rename(this.#tmp, aside);
    try {
      await fs.mkdir(this.#tmp, { mode: 0o700 });
    } catch (error) {
      // A full disk has no room for a new folder: a driver that does not start for that could free nothing.
      await fs.rename(aside, this.#tmp);
      this.#log.warn("cannot make tmp anew: what is in it is deleted in place", { reason: describeError(error) });
      for (const name of await fs.readdir(this.#tmp)) this.#enqueue(join(this.#tmp, name));
      return;
    }
    await this.discard(aside);
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
    if (!this.#closed) this.#running ??= this.#drain();
  }

  async #drain(): Promise<void> {
    for (let path = this.#queue.pop(); path !== undefined; path = this.#closed ? undefined : this.#queue.pop()) {
      try {
        await this.#remove(path);
      } catch (error) {
        this.#log.warn("cannot delete what is left in tmp", { path, reason: describeError(error) });
      }
    }
    this.#running = undefined;
  }

  async #remove(path: string): Promise<void> {
    const folder = await openFolder(path);
    if (folder === undefined) return void (await fs.rm(path, { force: true }));
    const { removed, raised, failure } = await this.#empty(path, folder);
    if (this.#closed) return;
    // Its subfolders are queued above it: they are emptied first, then it is looked at again.
    if (raised.length >= MOST_RAISED) this.#queue.push(path, ...raised);
    else {
      this.#queue.push(...raised);
      if (failure !== undefined) throw failure.reason;
      if (await removeFolder(path)) return;
      // Some file systems leave out entries when others are removed while they list a folder.
      if (removed === 0) throw new Error("it is not empty, and shows nothing");
      this.#queue.push(path);
    }
  }

  /** Removes the entries of a folder, or raises them, until many are raised. One that cannot go stops no other. */
  async #empty(path: string, folder: Dir) {
    const raised: string[] = [];
    let removed = 0;
    let failure: { readonly reason: unknown } | undefined;
    for await (const batch of batches(folder)) {
      for (const outcome of await Promise.allSettled(batch.map((entry) => this.#removeEntry(path, entry)))) {
        if (outcome.status === "rejected") failure ??= { reason: outcome.reason };
        else removed++;
        if (outcome.status === "fulfilled" && outcome.value !== undefined) raised.push(outcome.value);
      }
      if (this.#closed || raised.length >= MOST_RAISED) break;
    }
    return { removed, raised, failure };
  }

  /** Removes an entry; a folder is raised instead, to the path that is returned. */
  async #removeEntry(folder: string, entry: Dirent<Buffer>): Promise<string | undefined> {
    // Deno gives texts all the same.
    const name: Buffer | string = entry.name;
    const path = Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(name)]);
    if (!entry.isDirectory()) {
      await fs.unlink(path);
      return undefined;
    }
    const raised = this.#freshName();
    await move(path, raised);
    return raised;
  }

  #freshName(): string {
    return join(this.#tmp, `gone-${randomUUID()}`);
  }
}

/** Where the tmp folder of an earlier run is moved to, before it goes. */
export function oldTmp(tmp: string): string {
  return `${tmp}.old`;
}

/** Renames; false if there is nothing at `from`. */
async function move(from: string | Buffer, to: string): Promise<boolean> {
  try {
    await fs.rename(from, to);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    // Who is not root must be able to write to a folder to give it another parent.
    if (errnoOf(error) !== "EACCES" || !(await fs.lstat(from)).isDirectory()) throw error;
    await fs.chmod(from, 0o700);
    await fs.rename(from, to);
    return true;
  }
}

/** Removes an empty folder; false if it is not empty. */
async function removeFolder(path: string): Promise<boolean> {
  try {
    await fs.rmdir(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOTEMPTY") return false;
    throw error;
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
