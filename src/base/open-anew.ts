import { openSync, rmSync } from "node:fs";
import { errnoOf } from "./errors.ts";

/**
 * Makes a file and opens it for reading and writing; what has its name is removed first, whatever that is. Of `mode` the
 * process's umask is taken. Synchronous.
 */
export function openAnew(path: string, mode: number): number {
  try {
    return openSync(path, "wx+", mode);
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw error;
    rmSync(path, { recursive: true, force: true });
    return openSync(path, "wx+", mode);
  }
}
