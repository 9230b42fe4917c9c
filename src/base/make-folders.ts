import { promises as fs } from "node:fs";
import { dirname } from "node:path";
import { errnoOf } from "./errors.ts";

/**
 * Makes a folder, and those above it that are missing; one that is there is no error. Node's own recursive mkdir tries
 * for ever where the folder above is there and says ENOENT all the same, as one does that was deleted on the node while
 * it is mounted into a container: that takes a thread, and the process cannot end. Here it is an error.
 */
export async function makeFolders(path: string, mode = 0o777): Promise<void> {
  try {
    return await makeFolder(path, mode);
  } catch (error) {
    const above = dirname(path);
    if (errnoOf(error) !== "ENOENT" || above === path) throw error;
    await makeFolders(above, mode);
  }
  await makeFolder(path, mode);
}

async function makeFolder(path: string, mode: number): Promise<void> {
  try {
    await fs.mkdir(path, { mode });
  } catch (error) {
    if (errnoOf(error) !== "EEXIST" || !(await fs.stat(path)).isDirectory()) throw error;
  }
}
