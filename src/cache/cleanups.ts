import { promises as fs } from "node:fs";
import { describeError, KeyedLock, type Logger, unlessMissing } from "../base/index.ts";
import type { DataDir } from "./data-dir.ts";
import type { TreeId } from "./layout.ts";
import { type CacheClock, type Moment, momentAt, sureAgeMs } from "./moment.ts";
import { numberAt } from "./state-file.ts";

/** How long a tree is kept after its last volume, 0 being not at all; undefined leaves that to garbage collection. */
export type KeepMs = number | undefined;

interface Entry {
  readonly keepMs: number;
  /** When the last volume went; undefined while there is one. */
  readonly empty: Moment | undefined;
}

/** What cleanups need. */
export interface CleanupsOptions {
  readonly dataDir: DataDir;
  /** Called when a tree's time is up. */
  readonly onDue: (id: TreeId) => void;
  readonly clock: CacheClock;
  readonly log: Logger;
}

const CLEANUP_FILE = /^([0-9a-f]{64})\.cleanup$/;

/**
 * Which trees their volumes want removed, and when (`oras.options.cleanup`). The most patient of the volumes that a tree
 * has had since it last had none decides; most leave it to garbage collection, and of those nothing is written down. For
 * the others there is a small file, `trees/<id>.cleanup`.
 */
export class Cleanups {
  readonly #options: CleanupsOptions;
  readonly #entries = new Map<TreeId, Entry>();
  readonly #having = new Map<TreeId, Set<string>>();
  readonly #writing = new KeyedLock();
  readonly #timers = new Map<TreeId, () => void>();
  #isLoaded = false;

  constructor(options: CleanupsOptions) {
    this.#options = options;
  }

  /** Reads what earlier runs left; `names` are those in trees/. */
  async load(names: Iterable<string>): Promise<void> {
    for (const name of names) {
      const id = CLEANUP_FILE.exec(name)?.[1] as TreeId | undefined;
      if (id !== undefined) await this.#entryOf(id);
    }
    this.#isLoaded = true;
  }

  /** A volume was published before this run. Call it for all of them before anything else. */
  resume(id: TreeId, volume: string): void {
    const having = this.#having.get(id);
    if (having === undefined) this.#having.set(id, new Set([volume]));
    else having.add(volume);
  }

  /** A volume is about to have a tree. Undefined where there is nothing to wait for: most volumes ask for nothing. */
  begin(id: TreeId, volume: string, keepMs: KeepMs): Promise<void> | undefined {
    const isFirst = this.#having.get(id) === undefined;
    this.resume(id, volume);
    if (keepMs === undefined && this.#isLoaded && !this.#entries.has(id)) return undefined;
    return this.#begin(id, isFirst, keepMs);
  }

  async #begin(id: TreeId, isFirst: boolean, keepMs: KeepMs): Promise<void> {
    const before = await this.#entryOf(id);
    this.#stopTimer(id);
    if (keepMs === undefined) {
      if (before !== undefined) await this.#replace(id, undefined);
    } else if (isFirst) await this.#replace(id, { keepMs, empty: undefined });
    // Without an entry some volume has left it to garbage collection.
    else if (before !== undefined && keepMs > before.keepMs) await this.#replace(id, { keepMs, empty: undefined });
  }

  /** A volume has a tree no more. */
  async end(id: TreeId, volume: string): Promise<void> {
    // Nothing is taken out of the data dir of a newer driver.
    if (this.#options.dataDir.isNewer) return;
    const having = this.#having.get(id);
    if (having?.delete(volume) !== true || having.size > 0) return;
    this.#having.delete(id);
    const { clock, log } = this.#options;
    const entry = await this.#entryOf(id);
    if (entry === undefined || this.#having.has(id)) return;
    try {
      await this.#replace(id, { keepMs: entry.keepMs, empty: momentAt(clock, clock.now()) });
    } catch (error) {
      // It is known for now; after a restart the time begins anew.
      log.warn("cannot note that a tree has no volume any more", { tree: id, reason: describeError(error) });
    }
    this.#startTimer(id, entry.keepMs);
  }

  /** The trees whose time is up. */
  due(): readonly TreeId[] {
    const { clock } = this.#options;
    const due: TreeId[] = [];
    for (const [id, { keepMs, empty }] of this.#entries) {
      if (this.#having.has(id)) continue;
      // Its volumes went in a run that could not say so: the time begins now.
      if (empty === undefined) this.#entries.set(id, { keepMs, empty: momentAt(clock, clock.now()) });
      if (empty === undefined ? keepMs === 0 : sureAgeMs(clock, empty) >= keepMs) due.push(id);
    }
    return due;
  }

  /** Whether a tree's time is up. */
  isDue(id: TreeId): boolean {
    const entry = this.#entries.get(id);
    if (entry?.empty === undefined || this.#having.has(id)) return false;
    return sureAgeMs(this.#options.clock, entry.empty) >= entry.keepMs;
  }

  /** A tree is gone. */
  async forget(id: TreeId): Promise<void> {
    this.#stopTimer(id);
    if ((await this.#entryOf(id)) !== undefined) await this.#replace(id, undefined);
  }

  /** Waits for nothing any more. */
  close(): void {
    for (const id of [...this.#timers.keys()]) this.#stopTimer(id);
  }

  async #entryOf(id: TreeId): Promise<Entry | undefined> {
    const known = this.#entries.get(id);
    if (known !== undefined || this.#isLoaded) return known;
    const { dataDir, clock } = this.#options;
    const read = await dataDir.state.read(dataDir.layout.treeCleanup(id), (value) => {
      const emptySince = value["emptySince"] === undefined ? undefined : numberAt(value, "emptySince");
      const empty = emptySince === undefined ? undefined : momentAt(clock, emptySince);
      return { keepMs: numberAt(value, "keepMs"), empty };
    });
    // What was decided meanwhile is newer.
    if (read !== undefined && !this.#entries.has(id)) this.#entries.set(id, read);
    return this.#entries.get(id);
  }

  /** What is last decided is last written. */
  async #replace(id: TreeId, entry: Entry | undefined): Promise<void> {
    const { dataDir } = this.#options;
    if (entry === undefined) this.#entries.delete(id);
    else this.#entries.set(id, entry);
    await this.#writing.run(id, async () => {
      const now = this.#entries.get(id);
      const path = dataDir.layout.treeCleanup(id);
      if (now === undefined) await unlessMissing(fs.unlink(path));
      else await dataDir.state.write(path, { keepMs: now.keepMs, emptySince: now.empty?.wallMs });
    });
  }

  #startTimer(id: TreeId, keepMs: number): void {
    const { clock, onDue } = this.#options;
    this.#stopTimer(id);
    const cancel = clock.after(keepMs, () => {
      this.#timers.delete(id);
      onDue(id);
    });
    this.#timers.set(id, cancel);
  }

  #stopTimer(id: TreeId): void {
    this.#timers.get(id)?.();
    this.#timers.delete(id);
  }
}
