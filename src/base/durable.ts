import { randomUUID } from "node:crypto";
import { closeSync, constants, fchmod, promises as fs, fsync, open, write } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

const OWN_MODE = 0o600;

const setMode = promisify(fchmod);
const syncFile = promisify(fsync);

/** How a small file is written. */
export interface DurableOptions {
  /** 0600 if left out; another one is set whatever the umask. */
  readonly mode?: number;
  /** Whether its name, too, must survive a power cut: true if left out. Else it may be as it was before, or not there. */
  readonly syncName?: boolean;
  /** False: nothing need survive a power cut, and nothing is synced. True if left out. */
  readonly isDurable?: boolean;
  /** Where a crash may leave a temporary file, on the same file system; the file's own folder if left out. */
  readonly temporaryFolder?: string;
  /** The temporary file, where it was made beforehand, as durable as asked for here; one that does not fit counts for nothing. */
  readonly draft?: FileDraft | undefined;
}

/**
 * Writes a small file so that after a crash it is whole or as it was before: a temporary file that is written to disk,
 * rename, fsync of the folder. A failure leaves no temporary file.
 */
export async function writeFileDurably(
  path: string,
  content: string | Uint8Array,
  { mode = OWN_MODE, temporaryFolder = dirname(path), syncName = true, isDurable = true, draft }: DurableOptions = {},
): Promise<void> {
  const file = draft?.fits(content, mode) === true ? draft : await FileDraft.open(temporaryFolder, isDurable);
  await file.publish(path, content, mode);
  if (syncName && isDurable) await syncFolder(dirname(path));
}

/** A temporary file that becomes a small file or goes again. Whoever opens it sees to one of the two. */
export class FileDraft {
  readonly #path: string;
  readonly #fd: number;
  readonly #isDurable: boolean;
  #isOver = false;
  #filling: { readonly content: string | Uint8Array; readonly written: Promise<void> } | undefined;

  private constructor(path: string, fd: number, isDurable: boolean) {
    this.#path = path;
    this.#fd = fd;
    this.#isDurable = isDurable;
  }

  /** Makes it in a folder of the file system that the file will be on. */
  static async open(folder: string, isDurable: boolean): Promise<FileDraft> {
    const path = join(folder, `.${randomUUID()}.tmp`);
    // O_SYNC: each write is followed by what fsync(2) does, in one call.
    const how = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | (isDurable ? constants.O_SYNC : 0);
    return new FileDraft(path, await makeFile(path, how), isDurable);
  }

  /** Whether it can become such a file: it is not over, and was not filled as another one. */
  fits(content: string | Uint8Array, mode: number): boolean {
    return !this.#isOver && (this.#filling === undefined || (this.#filling.content === content && mode === OWN_MODE));
  }

  /** Begins to write to disk what it is likely to hold, with mode 0600. If that fails, `publish` does. To be called once. */
  fill(content: string): void {
    const written = this.#write(content);
    written.catch(() => undefined);
    this.#filling = { content, written };
  }

  /** Writes it to disk, then gives it its name. A failure leaves nothing of it. To be called once, if it `fits`. */
  async publish(path: string, content: string | Uint8Array, mode: number): Promise<void> {
    this.#isOver = true;
    try {
      try {
        if (mode !== OWN_MODE) await setMode(this.#fd, mode);
        await (this.#filling?.written ?? this.#write(content));
      } finally {
        // What it holds is on disk: closing it has nothing to wait for.
        closeSync(this.#fd);
      }
      await fs.rename(this.#path, path);
    } catch (error) {
      await fs.rm(this.#path, { force: true });
      throw error;
    }
  }

  /** Takes it away, unless it is over. */
  async discard(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    // A number that is closed while something is written to it may be another file's by then.
    await this.#filling?.written.catch(() => undefined);
    closeSync(this.#fd);
    await fs.rm(this.#path, { force: true });
  }

  async #write(content: string | Uint8Array): Promise<void> {
    const bytes = typeof content === "string" ? Buffer.from(content) : content;
    for (let at = 0; at < bytes.length; ) at += await writeTo(this.#fd, bytes, at);
    if (bytes.length === 0 && this.#isDurable) await syncFile(this.#fd);
  }
}

// A FileHandle costs more than what is done with it here.
function makeFile(path: string, flags: number): Promise<number> {
  return new Promise((resolve, reject) => {
    open(path, flags, OWN_MODE, (error, fd) => (error ? reject(error) : resolve(fd)));
  });
}

/** How many bytes were taken. */
function writeTo(fd: number, bytes: Uint8Array, at: number): Promise<number> {
  return new Promise((resolve, reject) => {
    write(fd, bytes, at, (error, count) => (error ? reject(error) : resolve(count)));
  });
}

/** Makes what was created, renamed or removed in a folder survive a power cut. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await fs.open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
