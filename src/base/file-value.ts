import { promises as fs } from "node:fs";
import { describeError } from "./errors.ts";
import { fileStamp } from "./file-stamp.ts";
import type { Logger } from "./log.ts";

/**
 * A value read from a file that may be replaced while the driver runs: looked at (stat) each time it is used, read
 * again when it is another file or was changed. If the new content cannot be read or parsed, the old value stays and
 * one warning is logged.
 */
export class FileValue<T> {
  readonly #path: string;
  readonly #parse: (text: string) => T;
  readonly #log: Logger;
  #seen = "";
  #warned = "";
  #value: { readonly parsed: T } | undefined;

  constructor(options: { readonly path: string; readonly parse: (text: string) => T; readonly log: Logger }) {
    this.#path = options.path;
    this.#parse = options.parse;
    this.#log = options.log;
  }

  /** The value as the file says now. Rejects only if there never was one. */
  async get(): Promise<T> {
    try {
      const seen = fileStamp(await fs.stat(this.#path));
      if (this.#value !== undefined && seen === this.#seen) return this.#value.parsed;
      const text = await fs.readFile(this.#path, "utf8");
      // Only what was read counts as seen: a file that could not be read is tried again.
      this.#seen = seen;
      this.#value = { parsed: this.#parse(text) };
      this.#warned = "";
      return this.#value.parsed;
    } catch (error) {
      if (this.#value === undefined) throw error;
      this.#warnOnce(describeError(error));
      return this.#value.parsed;
    }
  }

  #warnOnce(reason: string): void {
    if (this.#warned === reason) return;
    this.#warned = reason;
    const message = "a file was changed but cannot be read: its old content stays in force";
    this.#log.warn(message, { path: this.#path, reason });
  }
}
