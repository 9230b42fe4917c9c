import {
  chmodSync,
  closeSync,
  fchmodSync,
  promises as fs,
  lstatSync,
  renameSync,
  rmSync,
  type Stats,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import {
  DriverError,
  errnoOf,
  type FileHasher,
  isUnreadable,
  type Logger,
  openAnew,
  readFileItself,
  syncFolder,
  unlessMissing,
  writeFileDurably,
} from "../base/index.ts";
import { type Descriptor, type Digest, digestOf, digestParts } from "../oci/index.ts";
import type { Layout } from "./layout.ts";

/** The mode of all blobs: trees link to them, and any user of a pod may read them. */
export const BLOB_MODE = 0o644;
const MODE_BITS = 0o7777;

/** The blobs on disk, each once, by digest: manifests, configs and file layers. Used on the main and the pull thread. */
export class Blobs {
  readonly #layout: Layout;
  readonly #log: Logger | undefined;
  readonly #isDurable: boolean;

  /** A worker thread has no log. Where the cache is thrown away, nothing need survive a power cut. */
  constructor(layout: Layout, log?: Logger, { isDurable = true }: { readonly isDurable?: boolean } = {}) {
    this.#layout = layout;
    this.#log = log;
    this.#isDurable = isDurable;
  }

  /** Whether a blob is there in full length. */
  async has(descriptor: Pick<Descriptor, "digest" | "size">): Promise<boolean> {
    return isBlob(await unlessMissing(fs.lstat(this.#layout.blob(descriptor.digest))), descriptor);
  }

  /** The same for a worker, where a pull asks it of thousands of blobs. */
  hasSync(descriptor: Pick<Descriptor, "digest" | "size">): boolean {
    return isBlob(lstatSync(this.#layout.blob(descriptor.digest), { throwIfNoEntry: false }), descriptor);
  }

  /**
   * Whether a blob is there and has the bytes that its digest says: all of it is read. Its mode is set right then. For a
   * worker.
   */
  async isWhole(digest: Digest, hasher: FileHasher): Promise<boolean> {
    const { algorithm, hex } = digestParts(digest);
    const path = this.#layout.blob(digest);
    try {
      if ((await hasher.hash(Buffer.from(path), algorithm)).hex !== hex) return false;
      // Where the mode is right it may be that nobody can set it.
      if ((lstatSync(path).mode & MODE_BITS) !== BLOB_MODE) chmodSync(path, BLOB_MODE);
      return true;
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      return false;
    }
  }

  /**
   * The bytes of a small blob, a manifest say; undefined if it is not there. They are hashed: a disk that lost some of
   * them is reported, and the blob is gone, to be fetched anew.
   */
  async read(digest: Digest): Promise<Uint8Array | undefined> {
    const path = this.#layout.blob(digest);
    const bytes = await readFile(path);
    if (bytes === undefined) return undefined;
    if (digestOf(bytes, digestParts(digest).algorithm) === digest) return bytes;
    this.#log?.error("a cached blob has other bytes than its digest says: removed", { digest, path });
    await fs.rm(path, { force: true });
    return undefined;
  }

  /** Keeps a small blob whose digest the caller has checked. */
  async put(digest: Digest, bytes: Uint8Array): Promise<void> {
    const path = this.#layout.blob(digest);
    await removeFolder(path);
    const how = { mode: BLOB_MODE, temporaryFolder: this.#layout.tmp, isDurable: this.#isDurable };
    await writeFileDurably(path, bytes, how);
  }

  /**
   * The same in a cache that is thrown away, for a worker: thousands may come one after the other. One that is cut short
   * by a full disk, or a kill, does not have its length.
   */
  putNow(digest: Digest, bytes: Uint8Array): void {
    const file = openAnew(this.#layout.blob(digest), BLOB_MODE);
    try {
      fchmodSync(file, BLOB_MODE);
      writeFileSync(file, bytes);
    } finally {
      closeSync(file);
    }
  }

  /**
   * Makes an ingest file, complete and verified by the caller, the blob of that digest: synced, then renamed. For a
   * worker.
   */
  async commit(ingestFile: string, digest: Digest): Promise<void> {
    const path = this.#layout.blob(digest);
    chmodSync(ingestFile, BLOB_MODE);
    if (!this.#isDurable) return replaceNow(ingestFile, path);
    await syncFile(ingestFile);
    await removeFolder(path);
    await fs.rename(ingestFile, path);
    await syncFolder(dirname(path));
  }
}

function isBlob(found: Stats | undefined, { size }: Pick<Descriptor, "size">): boolean {
  return found?.isFile() === true && found.size === size;
}

/** Without other threads: a pull may do it thousands of times, and has nothing to wait for. */
function replaceNow(ingestFile: string, path: string): void {
  try {
    renameSync(ingestFile, path);
  } catch (error) {
    if (errnoOf(error) !== "EISDIR") throw error;
    rmSync(path, { recursive: true, force: true });
    renameSync(ingestFile, path);
  }
}

async function syncFile(path: string): Promise<void> {
  const file = await fs.open(path, "r+");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** A file's bytes; undefined if there is none. What else is there is no blob, and goes when the blob comes. */
async function readFile(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFileItself(path);
  } catch (error) {
    if (error instanceof DriverError) return undefined;
    throw error;
  }
}

/** Takes a folder away that is where a blob goes; anything else is replaced by the blob itself. */
async function removeFolder(path: string): Promise<void> {
  if (await isFolder(path)) await fs.rm(path, { recursive: true, force: true });
}

async function isFolder(path: string): Promise<boolean> {
  return (await unlessMissing(fs.lstat(path)))?.isDirectory() === true;
}
