import { randomUUID } from "node:crypto";
import { promises as fs } from "node:fs";
import { basename, dirname, join } from "node:path";
import {
  DriverError,
  describeError,
  errnoOf,
  FileDraft,
  KeyedLock,
  type Logger,
  makeFolders,
  readFileItself,
  unlessMissing,
  writeFileDurably,
} from "../base/index.ts";
import { isJsonObject, type JsonObject } from "../oci/index.ts";

/** Where state files put what is in the way. Both folders are on the file system of the state files. */
export interface StateFilesOptions {
  /** Temporary files are made here. */
  readonly temporaryFolder: string;
  /** Corrupt files are moved here; undefined: they are reported and left. */
  readonly corruptFolder: string | undefined;
  /** False: the files need not survive a power cut. */
  readonly isDurable: boolean;
  readonly log: Logger;
}

/** How a state file is written. */
export interface WriteOptions {
  /** As in `writeFileDurably`. */
  readonly syncName?: boolean;
  /** What `draft` made for it. */
  readonly draft?: FileDraft | undefined;
}

/** Small JSON files that hold the driver's state: whole or absent; a corrupt one is reported and put aside. */
export class StateFiles {
  readonly #options: StateFilesOptions;
  readonly #merging = new KeyedLock();

  constructor(options: StateFilesOptions) {
    this.#options = options;
  }

  /**
   * The value that `parse` makes of a state file, or undefined if there is none. What cannot be parsed is reported and
   * moved aside, then undefined is the answer, too: never silently, and `onCorrupt` is called.
   */
  async read<T>(path: string, parse: (value: JsonObject) => T, onCorrupt?: () => void): Promise<T | undefined> {
    let text: string | undefined;
    try {
      text = (await readFileItself(path))?.toString("utf8");
    } catch (error) {
      if (!(error instanceof DriverError)) throw error;
      onCorrupt?.();
      await this.#putAside(path, error.message);
    }
    if (text === undefined) return undefined;
    try {
      const value: unknown = JSON.parse(text);
      if (!isJsonObject(value)) throw new Error("it is no JSON object");
      return parse(value);
    } catch (error) {
      onCorrupt?.();
      await this.#putAside(path, describeError(error));
      return undefined;
    }
  }

  /**
   * Makes the file of a state file whose name and value will be known later: that takes as long as a sync. Undefined where
   * that fails: `write` comes across it again. Whoever has it discards it in the end, whatever became of it.
   */
  async draft(): Promise<FileDraft | undefined> {
    try {
      return await FileDraft.open(this.#options.temporaryFolder, this.#options.isDurable);
    } catch {
      return undefined;
    }
  }

  /** Begins to write what a draft is likely to hold, which is all that it can be used for then. */
  fill(draft: FileDraft, value: JsonObject): void {
    draft.fill(textOf(value));
  }

  /**
   * Writes a state file so that a crash leaves the old one or the new one; `syncName` as in `writeFileDurably`. A folder that
   * is there instead is reported and moved aside.
   */
  async write(path: string, value: JsonObject, { syncName = true, draft }: WriteOptions = {}): Promise<void> {
    const { temporaryFolder, isDurable } = this.#options;
    const how = { temporaryFolder, syncName, isDurable, draft };
    const text = textOf(value);
    const write = () => writeFileDurably(path, text, how);
    try {
      await write();
    } catch (error) {
      // Somebody made a folder in the file's place, or removed folders of the data dir.
      if (errnoOf(error) === "EISDIR") await this.#putAside(path, "it is a folder");
      else if (errnoOf(error) !== "ENOENT") throw error;
      else for (const folder of [temporaryFolder, dirname(path)]) await makeFolders(folder, 0o700);
      await write();
    }
  }

  /**
   * Writes some keys of a state file and keeps the others, those included that this driver does not know: a newer one
   * wrote them. A key that is undefined goes. What cannot be parsed is reported and replaced.
   */
  async merge(path: string, changes: JsonObject, options: WriteOptions = {}): Promise<void> {
    await this.#merging.run(path, async () => {
      const before = await this.read(path, (value) => value);
      await this.write(path, { ...before, ...changes }, options);
    });
  }

  /** Removes a state file, if there is one. A folder that is there instead is reported and moved aside. */
  async remove(path: string): Promise<void> {
    try {
      await unlessMissing(fs.unlink(path));
    } catch (error) {
      if (errnoOf(error) !== "EISDIR") throw error;
      await this.#putAside(path, "it is a folder");
    }
  }

  async #putAside(path: string, reason: string): Promise<void> {
    const { corruptFolder, log } = this.#options;
    if (corruptFolder === undefined) return log.error("state file is corrupt: left as it is", { path, reason });
    const kept = join(corruptFolder, `corrupt-${randomUUID()}-${basename(path)}`);
    log.error("state file is corrupt: moved aside, made anew from the rest", { path, kept, reason });
    try {
      await fs.rename(path, kept);
    } catch (error) {
      // Somebody else who read it at the same time has moved it.
      if (errnoOf(error) !== "ENOENT") throw error;
    }
  }
}

function textOf(value: JsonObject): string {
  return `${JSON.stringify(value)}\n`;
}

/** The text at a key of a state file. Throws if it is none: the file is corrupt. */
export function textAt(value: JsonObject, key: string): string {
  const text = value[key];
  if (typeof text !== "string") throw new Error(`${key} is no text`);
  return text;
}

/** The number at a key of a state file. Throws if it is none: the file is corrupt. */
export function numberAt(value: JsonObject, key: string): number {
  const number = value[key];
  if (typeof number !== "number" || !Number.isFinite(number)) throw new Error(`${key} is no number`);
  return number;
}
