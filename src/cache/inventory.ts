import { promises as fs } from "node:fs";
import { describeError, errnoOf, type Logger, unlessMissing } from "../base/index.ts";
import type { Digest } from "../oci/index.ts";
import type { Cleanups } from "./cleanups.ts";
import type { Content, Contents } from "./contents.ts";
import type { DataDir } from "./data-dir.ts";
import type { TreeId } from "./layout.ts";
import { ageMs, type CacheClock, type Moment, momentAt, sureAgeMs } from "./moment.ts";
import { openFolder } from "./open-folder.ts";
import type { Pins } from "./pins.ts";
import type { Trees } from "./trees.ts";

/** A tree as garbage collection sees it. */
export interface StoredTree {
  readonly id: TreeId;
  readonly manifest: Digest;
  /** Sum of its files' sizes. */
  readonly bytes: number;
  /** Files, folders and links in it. */
  readonly inodes: number;
}

interface Entry extends StoredTree {
  used: Moment;
  readonly copiedBytes: number;
  /** What it is made of: its manifest and its layers, each once. */
  readonly contents: readonly Content[];
}

/** What makes a tree known. */
type NewTree = StoredTree & { readonly layers: readonly Digest[]; readonly copiedBytes?: number };

/** What the inventory needs. */
export interface InventoryOptions {
  readonly dataDir: DataDir;
  readonly contents: Contents;
  readonly pins: Pins;
  readonly cleanups: Cleanups;
  readonly trees: Trees;
  readonly clock: CacheClock;
  readonly log: Logger;
}

const RECORD = /^([0-9a-f]{64})\.json$/;
const FOLDER = /^[0-9a-f]{64}$/;
/** How many records are read at once. */
const BATCH = 16;
/** How long a use may be in memory only. A crash before makes a tree seem less used than it is, nothing worse. */
const FLUSH_MS = 60_000;

/**
 * The trees of the data dir in memory: what each is made of, and when it was last used. Read in the background at start.
 * The last use is the modification time of a tree's record, written some time later.
 */
export class Inventory {
  readonly #options: InventoryOptions;
  readonly #trees = new Map<TreeId, Entry>();
  /** Used since the last flush. */
  readonly #used = new Map<TreeId, Moment>();
  #folders: readonly TreeId[] = [];
  #loaded: Promise<void> | undefined;
  #cancelFlush: (() => void) | undefined;
  #flushing: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: InventoryOptions) {
    this.#options = options;
  }

  /** Resolves when all that was there at the start is known; the first call begins to read it. */
  load(): Promise<void> {
    this.#loaded ??= this.#load();
    return this.#loaded;
  }

  get(id: TreeId): StoredTree | undefined {
    return this.#trees.get(id);
  }

  has(id: TreeId): boolean {
    return this.#trees.has(id);
  }

  /** All trees, the longest unused first. */
  byLastUse(): readonly StoredTree[] {
    const { clock } = this.#options;
    const aged = [...this.#trees.values()].map((tree) => ({ tree, unusedMs: ageMs(clock, tree.used) }));
    return aged.sort((a, b) => b.unusedMs - a.unusedMs).map(({ tree }) => tree);
  }

  /** For how long surely no volume began or ceased to have the tree. */
  unusedMs(id: TreeId): number {
    const tree = this.#trees.get(id);
    return tree === undefined ? 0 : sureAgeMs(this.#options.clock, tree.used);
  }

  /** When a volume began or ceased to have the tree, by the wall clock. */
  lastUseMs(id: TreeId): number {
    const { clock } = this.#options;
    const tree = this.#trees.get(id);
    return clock.now() - (tree === undefined ? 0 : ageMs(clock, tree.used));
  }

  get size(): number {
    return this.#trees.size;
  }

  /** A tree was made. */
  add(tree: NewTree): void {
    const { clock } = this.#options;
    this.#put(tree, momentAt(clock, clock.now()));
  }

  /** A volume has or had the tree. */
  touch(id: TreeId): void {
    const { clock } = this.#options;
    const used = momentAt(clock, clock.now());
    const entry = this.#trees.get(id);
    if (entry !== undefined) entry.used = used;
    this.#used.set(id, used);
    if (this.#closed || this.#options.dataDir.isNewer) return;
    this.#cancelFlush ??= clock.after(FLUSH_MS, () => {
      this.#cancelFlush = undefined;
      this.#flushing = this.#flush();
    });
  }

  /** What goes with the tree: that which no other tree is made of. */
  onlyIn(id: TreeId): readonly Content[] {
    return this.#trees.get(id)?.contents.filter(({ trees }) => trees === 1) ?? [];
  }

  /** What its files take that are no links. */
  copiedBytes(id: TreeId): number {
    return this.#trees.get(id)?.copiedBytes ?? 0;
  }

  /** A tree is gone. */
  delete(id: TreeId): void {
    this.#drop(id);
    this.#used.delete(id);
  }

  /** Folders in trees/ that had no record at the start, and have none now. */
  withoutRecord(): readonly TreeId[] {
    return this.#folders.filter((id) => !this.#trees.has(id));
  }

  /** Writes down what was used, as at the end of the process. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelFlush?.();
    await this.#loaded?.catch(() => undefined);
    await this.#flushing;
    await this.#flush();
  }

  async #load(): Promise<void> {
    const { dataDir, pins, cleanups } = this.#options;
    const [ids, folders, others]: [TreeId[], TreeId[], string[]] = [[], [], []];
    for await (const { name } of await openFolder(dataDir.layout.trees)) {
      if (FOLDER.test(name)) folders.push(name as TreeId);
      else {
        const id = RECORD.exec(name)?.[1];
        if (id === undefined) others.push(name);
        else ids.push(id as TreeId);
      }
    }
    pins.load(others);
    await cleanups.load(others);
    for (let i = 0; i < ids.length && !this.#closed; i += BATCH) {
      await Promise.all(ids.slice(i, i + BATCH).map((id) => this.#read(id)));
    }
    this.#folders = folders;
  }

  async #read(id: TreeId): Promise<void> {
    const { dataDir, trees, clock } = this.#options;
    const found = await unlessMissing(fs.lstat(dataDir.layout.treeRecord(id)));
    const facts = await trees.record(id);
    // One that was made or taken away meanwhile is known better already.
    if (facts === undefined || found === undefined || this.#trees.has(id)) return;
    this.#put(facts, this.#used.get(id) ?? momentAt(clock, found.mtimeMs));
  }

  #put(tree: NewTree, used: Moment): void {
    const { id, manifest, layers, bytes, inodes, copiedBytes = 0 } = tree;
    this.#drop(id);
    const contents = [...new Set([manifest, ...layers])].map((digest) => this.#options.contents.of(digest));
    for (const content of contents) content.trees++;
    this.#options.contents.countCopies(copiedBytes);
    this.#trees.set(id, { id, manifest, bytes, inodes, copiedBytes, used, contents });
  }

  #drop(id: TreeId): void {
    for (const content of this.#trees.get(id)?.contents ?? []) content.trees--;
    this.#options.contents.countCopies(-this.copiedBytes(id));
    this.#trees.delete(id);
  }

  async #flush(): Promise<void> {
    const { dataDir, clock, log } = this.#options;
    if (dataDir.isNewer) return;
    const used = [...this.#used];
    this.#used.clear();
    for (const [id, moment] of used) {
      try {
        // Not the wall clock's word of then: it may have been set since.
        const usedMs = clock.now() - ageMs(clock, moment);
        await fs.utimes(dataDir.layout.treeRecord(id), usedMs / 1000, usedMs / 1000);
      } catch (error) {
        if (errnoOf(error) === "ENOENT") continue;
        log.warn("cannot note when a tree was last used", { tree: id, reason: describeError(error) });
      }
    }
  }
}
