import { type Dirent, promises as fs } from "node:fs";
import { unlessMissing } from "../base/index.ts";

/** How many names are read at once. They are looked at in one go: meanwhile the main thread does nothing else. */
const NAMES_AT_ONCE = 128;

/** The entries of a folder, which may be many, to be iterated; none if it is missing. */
export async function openFolder(path: string): Promise<AsyncIterable<Dirent> | readonly Dirent[]> {
  return (await unlessMissing(fs.opendir(path, { bufferSize: NAMES_AT_ONCE }))) ?? [];
}
