import {
  closeSync,
  constants,
  existsSync,
  fdatasync,
  fstatSync,
  ftruncateSync,
  openSync,
  read,
  rmSync,
  writeSync,
} from "node:fs";
import { promisify } from "node:util";
import { type ByteRange, ByteRanges, errnoOf, openAnew } from "../base/index.ts";
import type { LayerForm } from "../cache/index.ts";
import { ingestMapPath, readIngestMap, removeIngestMap, writeIngestMap } from "./ingest-map.ts";

/** Which blob comes in, and from whom. */
export interface IngestOptions {
  readonly path: string;
  /** Of the whole blob. */
  readonly sizeBytes: number;
  /** Who gives the bytes. What another one gave proves nothing of this one, so it is not gone on with. */
  readonly origin: string;
  /** What becomes of it. */
  readonly form: LayerForm;
  /** Whether what is kept must be right after a power cut, too; if not, only the digest finds out in the end. */
  readonly isDurable: boolean;
}

/** Less than this is sooner fetched again than looked after. */
export const WORTH_KEEPING_BYTES = 64 * 1024;

const INGEST_MODE = 0o600;

/** Of a file that comes in parts, the map is written anew after so many bytes. */
const SAVE_BYTES = 32 * 1024 * 1024;

const syncData = promisify(fdatasync);

/**
 * A blob on its way in. What an earlier pull left is gone on with; a map beside the file says whose bytes those are,
 * and, once they come in parts, which ones are there. A map of parts is written after their bytes were synced, if they
 * have to be durable. Writing is synchronous: for a worker.
 */
export class IngestFile {
  readonly path: string;
  /** What was there when it was opened. */
  readonly there: readonly ByteRange[];
  readonly #origin: string;
  readonly #form: LayerForm;
  readonly #isDurable: boolean;
  readonly #fd: number;
  readonly #ranges: ByteRanges;
  #hasMap: boolean;
  /** There is a gap, or was one: the length of the file says nothing. */
  #isInParts: boolean;
  #unsavedBytes = 0;
  #saving: Promise<void> | undefined;
  #open = true;

  constructor(options: IngestOptions) {
    this.path = options.path;
    const hasMap = existsSync(ingestMapPath(options.path));
    const left = hasMap ? openLeft(options) : undefined;
    if (hasMap && left === undefined) removeIngestMap(options.path);
    this.#fd = left?.fd ?? openAnew(options.path, INGEST_MODE);
    this.there = left?.there ?? [];
    this.#ranges = new ByteRanges(this.there);
    this.#hasMap = left !== undefined;
    this.#isInParts = left?.isInParts === true;
    this.#origin = options.origin;
    this.#form = options.form;
    this.#isDurable = options.isDurable;
  }

  /** Writes bytes where they belong. A full disk is an error here, though the system call calls it a short write. */
  write(chunk: Uint8Array, offset: number): void {
    const end = offset + chunk.length;
    if (!this.#isInParts && offset !== this.#ranges.prefix && chunk.length > 0) this.#beginParts();
    for (let done = 0; done < chunk.length; ) {
      done += writeSync(this.#fd, chunk, done, chunk.length - done, offset + done);
    }
    this.#ranges.add({ start: offset, end });
    this.#unsavedBytes += chunk.length;
    if (!this.#hasMap && end >= WORTH_KEEPING_BYTES) this.#writeMap(undefined);
    if (this.#isInParts && this.#unsavedBytes >= SAVE_BYTES) this.#beginSave();
  }

  /** Reads back what was written; how many bytes that were. */
  read(into: Buffer, offset: number): Promise<number> {
    return new Promise((resolve, reject) => {
      read(this.#fd, into, 0, into.length, offset, (error, bytesRead) => (error ? reject(error) : resolve(bytesRead)));
    });
  }

  /** Throws away what was written: the source starts over. */
  async restart(): Promise<void> {
    await this.#saving;
    removeIngestMap(this.path);
    this.#hasMap = false;
    this.#isInParts = false;
    this.#ranges.clear();
    ftruncateSync(this.#fd, 0);
  }

  /** No more is written. */
  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.#saving;
    closeSync(this.#fd);
  }

  /** Closes the file and leaves it to the next pull, if it is worth that. */
  async keep(): Promise<void> {
    if (!this.#hasMap) return await this.discard();
    await this.#saving;
    if (this.#isInParts && this.#unsavedBytes > 0) this.#beginSave();
    await this.close();
  }

  /** Closes and removes the file, and what is known of it. */
  async discard(): Promise<void> {
    await this.close();
    rmSync(this.path, { force: true });
    this.renamed();
  }

  /** It is closed, and has another name now: what is known of it goes. */
  renamed(): void {
    if (this.#hasMap) removeIngestMap(this.path);
    this.#hasMap = false;
  }

  /** Bytes are about to come beyond a gap: from now on the map counts, not the file's length. */
  #beginParts(): void {
    this.#isInParts = true;
    this.#writeMap(this.#ranges.list());
  }

  #beginSave(): void {
    this.#unsavedBytes = 0;
    this.#saving ??= this.#save().finally(() => {
      this.#saving = undefined;
    });
  }

  /** What cannot be synced is not in the map, and is fetched again if the file is ever gone on with. */
  async #save(): Promise<void> {
    const parts = this.#ranges.list();
    try {
      if (this.#isDurable) await syncData(this.#fd);
      if (this.#isInParts) this.#writeMap(parts);
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
    }
  }

  #writeMap(parts: readonly ByteRange[] | undefined): void {
    writeIngestMap(this.path, { origin: this.#origin, form: this.#form, parts });
    this.#hasMap = true;
  }
}

/** What an earlier pull from the same origin left; undefined if nothing of it is of use. */
function openLeft({ path, sizeBytes, origin }: IngestOptions) {
  const map = readIngestMap(path);
  if (map?.origin !== origin) return undefined;
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW);
  } catch (error) {
    if (["ENOENT", "EISDIR", "ELOOP"].includes(errnoOf(error) ?? "")) return undefined;
    throw error;
  }
  const leftBytes = fstatSync(fd).size;
  const endBytes = Math.min(leftBytes, sizeBytes);
  // A manifest that lied about the size: nothing may follow the blob's last byte.
  if (leftBytes > sizeBytes) ftruncateSync(fd, sizeBytes);
  const parts = map.parts ?? [{ start: 0, end: endBytes }];
  const there = parts.map(({ start, end }) => ({ start, end: Math.min(end, endBytes) }));
  return { fd, there: there.filter(({ start, end }) => start < end), isInParts: map.parts !== undefined };
}
