import { promises as fs } from "node:fs";
import { join } from "node:path";
import { unlessMissing } from "../base/index.ts";
import { type DiskUse, nothingUsed } from "./disk-space.ts";
import { isDamagedName, type Layout } from "./layout.ts";
import { openFolder } from "./open-folder.ts";

/** A file with wrong bytes that was moved aside. */
export interface DamagedFile {
  readonly path: string;
  /** What its end frees: nothing while a tree still shows it. */
  readonly use: DiskUse;
}

/**
 * Files with wrong bytes that a verification moved into tmp/: of no use but to whoever looks for the cause, so they are the
 * first to go where room is needed.
 */
export async function listDamagedFiles({ tmp }: Layout): Promise<readonly DamagedFile[]> {
  const files: DamagedFile[] = [];
  for await (const { name } of await openFolder(tmp)) {
    if (!isDamagedName(name)) continue;
    const path = join(tmp, name);
    const file = await unlessMissing(fs.lstat(path));
    if (file === undefined) continue;
    files.push({ path, use: file.nlink > 1 ? nothingUsed : { bytes: file.blocks * 512, inodes: 1 } });
  }
  return files;
}
