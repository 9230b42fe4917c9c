import { type Dirent, promises as fs } from "node:fs";
import { errnoOf, unlessMissing } from "../base/index.ts";
import type { DiskUse } from "./disk-space.ts";

/** How many entries of a folder are held at once. */
const BATCH = 32;

/** What lies below a folder takes; the folder itself is not counted. Nothing is followed; what goes meanwhile is left out. */
export async function folderUse(root: string): Promise<DiskUse> {
  let bytes = 0;
  let inodes = 0;
  const folders: Buffer[] = [Buffer.from(root)];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for await (const entry of entriesOf(folder)) {
      // Deno gives texts all the same.
      const name: Buffer | string = entry.name;
      const path = Buffer.concat([folder, Buffer.from("/"), Buffer.from(name)]);
      inodes++;
      if (entry.isDirectory()) folders.push(path);
      else bytes += ((await unlessGone(fs.lstat(path)))?.blocks ?? 0) * 512;
    }
  }
  return { bytes, inodes };
}

/** The entries of a folder, a few at a time: pods make folders of any size. */
async function* entriesOf(folder: Buffer): AsyncGenerator<Dirent<Buffer>> {
  const options = { encoding: "buffer" as BufferEncoding, bufferSize: BATCH };
  const opened = await unlessGone(fs.opendir(folder, options));
  if (opened !== undefined) yield* opened as unknown as AsyncIterable<Dirent<Buffer>>;
}

/** Neither what pods remove while it is counted nor what lies deeper than a path can say is counted. */
async function unlessGone<T>(looking: Promise<T>): Promise<T | undefined> {
  try {
    return await unlessMissing(looking);
  } catch (error) {
    if (errnoOf(error) === "ENAMETOOLONG") return undefined;
    throw error;
  }
}
