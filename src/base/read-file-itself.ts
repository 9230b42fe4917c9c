import { promises as fs } from "node:fs";
import { DriverError } from "./errors.ts";
import { unlessMissing } from "./unless-missing.ts";

/**
 * A file's bytes; undefined if nothing is there. Throws "corrupt" if it is no file: a link is not followed, a FIFO is not
 * waited for, and a device is not read, which may have no end. Throws the system's other errors.
 */
export async function readFileItself(path: string): Promise<Buffer | undefined> {
  const found = await unlessMissing(fs.lstat(path));
  if (found?.isFile() === false)
    throw new DriverError("corrupt", `it is ${found.isDirectory() ? "a folder" : "no file"}`);
  return found && (await unlessMissing(fs.readFile(path)));
}
