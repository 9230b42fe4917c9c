import { type Dir, lstatSync, opendirSync, type Stats } from "node:fs";
import { lstat } from "node:fs/promises";
import { errnoOf, withShortPath } from "../base/index.ts";
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
const ORDER: readonly DiskKind[] = ["blobs", "layers", "trees", "uppers", "partials", "other"];
/** The mounter's own: what is in there are mounts. */
const MOUNTS = "mounts";
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
    const names = [...namesIn(Buffer.from(this.#dataDir))];
    for (const use of measured) {
      const own = names.filter((name) => kindOf(name) === use.kind);
      for (const name of own) await this.#measure(below(Buffer.from(this.#dataDir), name), root.dev, use);
    }
    return measured;
  }

  /** Nothing is followed, and no other file system is entered. */
  async #measure(start: Buffer, device: number, use: { bytes: number; inodes: number }): Promise<void> {
    const paths = [start];
    for (let path = paths.pop(); path !== undefined; path = paths.pop()) {
      await this.#takeTurns();
      const found = lookAt(path);
      if (found === undefined || found.dev !== device) continue;
      if (!found.isDirectory() && found.nlink > 1 && !this.#seen.add(found.ino)) continue;
      use.bytes += found.blocks * 512;
      use.inodes++;
      if (found.isDirectory()) for (const name of namesIn(path)) paths.push(below(path, name));
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

function below(folder: Buffer, name: Buffer): Buffer {
  return Buffer.concat([folder, Buffer.from("/"), name]);
}
