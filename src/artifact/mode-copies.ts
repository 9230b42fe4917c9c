import { constants, createReadStream, createWriteStream, promises as fs } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { errnoOf } from "../base/index.ts";
import type { PlacedLayer } from "./placed-layer.ts";

/** A file of the tree whose mode is not its blob's. */
export interface ModeCopy {
  readonly blob: string;
  readonly mode: number;
}

const CHUNK_BYTES = 1024 * 1024;
/** What file systems answer that cannot share a file's blocks. */
const cannotShare: ReadonlySet<string> = new Set(["ENOTSUP", "EOPNOTSUPP", "EXDEV", "EINVAL", "ENOSYS", "ENOTTY"]);

/** What the files among some layers take that are copies of blobs: a mode's copy of a blob is made once a tree. */
export function copiedBytes(layers: readonly PlacedLayer[]): number {
  const sizes = new Map<string, number>();
  for (const { mode, descriptor } of layers)
    if (mode !== undefined) sizes.set(`${mode} ${descriptor.digest}`, descriptor.size);
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
}

/**
 * Copies of blobs, in the staging folder, for files that are to have other modes: a blob's own belongs to all trees that
 * link to it. Blocks are shared where the file system can; else the copy may be long, so it is made piece by piece.
 */
export class ModeCopies {
  readonly #folder: string;
  readonly #made = new Map<string, string>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** The copy of a blob with that mode, made if there is none yet. Rejects with the signal's reason, or what the disk says. */
  async copyOf({ blob, mode }: ModeCopy, signal: AbortSignal): Promise<string> {
    const key = `${mode} ${blob}`;
    const made = this.#made.get(key);
    if (made !== undefined) return made;
    signal.throwIfAborted();
    const path = join(this.#folder, `copy-${this.#made.size}`);
    await copy(blob, path, signal);
    await fs.chmod(path, mode);
    this.#made.set(key, path);
    return path;
  }
}

async function copy(from: string, to: string, signal: AbortSignal): Promise<void> {
  try {
    await fs.copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE_FORCE);
  } catch (error) {
    if (!cannotShare.has(errnoOf(error) ?? "")) throw error;
    const source = createReadStream(from, { highWaterMark: CHUNK_BYTES });
    await pipeline(source, createWriteStream(to, { highWaterMark: CHUNK_BYTES }), { signal });
  }
}
