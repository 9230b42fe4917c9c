import { promises as fs } from "node:fs";
import type { Libc } from "../base/index.ts";

/** Makes everything durable that was written to the file system at a path. */
export async function syncFileSystem(libc: Libc, path: string): Promise<void> {
  const folder = await fs.open(path, "r");
  try {
    await libc.syncFileSystem(folder.fd);
  } finally {
    await folder.close();
  }
}
