import { type Dir, lstatSync, opendirSync, type Stats } from "node:fs";
import { lstat } from "node:fs/promises";
import { join } from "node:path";
import { below, errnoOf, withShortPath } from "../base/index.ts";
import { isDamagedName } from "../cache/index.ts";
import { InodeSet } from "./inode-set.ts";
import type { DiskKind, MeasuredKind } from "./verify-calls.ts";

/** What each folder of a data dir holds; all else is "other". */
const KINDS: ReadonlyMap<string, DiskKind> = new Map([
  ["blobs", "blobs"],
  ["layers", "layers"],
  ["trees", "trees"],
  ["volumes", "uppers"],
  ["ingest", "partials"],
]);
const ORDER: readonly DiskKind[] = ["blobs", "layers", "trees", "uppers", "partials", "damaged", "other"];
/** The mounter's own: what is in there are mounts. */
const MOUNTS = "mounts";
/** What was moved aside is in there, too: it has a kind of its own. */
const TMP = "tmp";
/** After so many entries whatever else waits for this thread has its turn. */
const TURN_ENTRIES = 5000;
/** How many entries of a folder are held at once. */
const BATCH = 64;

/**
 * Counts what everything in a data dir takes on disk, by kind. What has several names counts for the first kind that has
 * it: a tree's files are those of blobs and layers, so what counts for trees is what only they have.
 */
export class MeasureRun {
  readonly #dataDir: string;
  readonly #signal: AbortSignal;
  /** Files with several names. */
  readonly #seen = new InodeSet();
  #entries = 0;

  constructor(dataDir: string, signal: AbortSignal) {
    this.#dataDir = dataDir;
    this.#signal = signal;
  }

  async run(): Promise<readonly MeasuredKind[]> {
    const root = lookAt(Buffer.from(this.#dataDir));
    if (root === undefined) return [];
    const measured = ORDER.map((kind) => ({ kind, bytes: 0, inodes: 0 }));
    for (const use of measured)
      for (const start of [...this.#startsOf(use.kind)]) await this.#measure(start, root.dev, use);
    return measured;
  }

  /** What counts for a kind, with all that is below it. */
  *#startsOf(kind: DiskKind): Generator<Buffer> {
    const folder = Buffer.from(kind === "damaged" ? join(this.#dataDir, TMP) : this.#dataDir);
    for (const name of namesIn(folder))
      if (kind === "damaged" ? isDamaged(name) : kindOf(name) === kind) yield below(folder, name);
  }

  /** Nothing is followed, and no other file system is entered. */
  async #measure(start: Buffer, device: number, use: { bytes: number; inodes: number }): Promise<void> {
    const paths = [start];
    const isTmp = start.equals(Buffer.from(join(this.#dataDir, TMP)));
    for (let path = paths.pop(); path !== undefined; path = paths.pop()) {
      await this.#takeTurns();
      const found = lookAt(path);
      if (found === undefined || found.dev !== device) continue;
      if (!found.isDirectory() && found.nlink > 1 && !this.#seen.add(found.ino)) continue;
      use.bytes += found.blocks * 512;
      use.inodes++;
      if (!found.isDirectory()) continue;
      for (const name of namesIn(path)) if (path !== start || !isTmp || !isDamaged(name)) paths.push(below(path, name));
    }
  }

  async #takeTurns(): Promise<void> {
    if (++this.#entries % TURN_ENTRIES === 0) await lstat(this.#dataDir);
    this.#signal.throwIfAborted();
  }
}

function kindOf(name: Buffer): DiskKind | undefined {
  const text = name.toString("latin1");
  return text === MOUNTS ? undefined : (KINDS.get(text) ?? "other");
}

function isDamaged(name: Buffer): boolean {
  return isDamagedName(name.toString("latin1"));
}

/** What goes while it is looked at is not counted. */
function lookAt(path: Buffer): Stats | undefined {
  return withShortPath(path, (short) => lstatSync(short, { throwIfNoEntry: false }));
}

/** A folder that goes meanwhile has no names. */
function* namesIn(path: Buffer): Generator<Buffer> {
  const folder = openFolder(path);
  if (folder === undefined) return;
  try {
    for (let entry = folder.readSync(); entry !== null; entry = folder.readSync()) {
      // Typed as text, whatever the encoding; Deno gives texts all the same.
      yield Buffer.from(entry.name);
    }
  } finally {
    folder.closeSync();
  }
}

function openFolder(path: Buffer): Dir | undefined {
  const options = { encoding: "buffer" as BufferEncoding, bufferSize: BATCH };
  try {
    return withShortPath(path, (short) => opendirSync(short, options));
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(errnoOf(error) ?? "")) return undefined;
    throw error;
  }
}
