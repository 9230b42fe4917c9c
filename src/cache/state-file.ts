import { randomUUID } from "node:crypto";
import { promises as fs } from "node:fs";
import { basename, join } from "node:path";
import { describeError, errnoOf, type Logger, writeFileDurably } from "../base/index.ts";
import { isJsonObject, type JsonObject } from "../oci/index.ts";

/** Small JSON files that hold the driver's state: whole or absent; a corrupt one is reported and put aside. */
export class StateFiles {
  readonly #aside: string;
  readonly #log: Logger;

  /** `aside` is the folder that corrupt files are moved to, on the same file system. */
  constructor(aside: string, log: Logger) {
    this.#aside = aside;
    this.#log = log;
  }

  /**
   * The value that `parse` makes of a state file, or undefined if there is none. What cannot be parsed is reported,
   * moved aside and then told by the caller as `onCorrupt` says: never silently as "absent".
   */
  async read<T>(
    path: string,
    parse: (value: JsonObject) => T,
    onCorrupt?: () => Promise<void>,
  ): Promise<T | undefined> {
    let text: string;
    try {
      text = await fs.readFile(path, "utf8");
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    }
    try {
      const value: unknown = JSON.parse(text);
      if (!isJsonObject(value)) throw new Error("it is no JSON object");
      return parse(value);
    } catch (error) {
      const kept = join(this.#aside, `corrupt-${randomUUID()}-${basename(path)}`);
      this.#log.error("state file is corrupt: moved aside, made anew from the rest", {
        path,
        kept,
        reason: describeError(error),
      });
      await fs.rename(path, kept);
      await onCorrupt?.();
      return undefined;
    }
  }

  /** Writes a state file so that a crash leaves the old one or the new one. */
  async write(path: string, value: JsonObject): Promise<void> {
    await writeFileDurably(path, `${JSON.stringify(value)}\n`, { temporaryFolder: this.#aside });
  }
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
