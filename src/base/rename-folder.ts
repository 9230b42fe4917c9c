import { promises as fs } from "node:fs";
import { errnoOf } from "./errors.ts";

/**
 * Renames a folder of ours, whatever its mode. A folder has its parent written in it, so who is not root must be able to
 * write to one that gets another parent: a read-only one is open meanwhile. Rejects with the system's error.
 */
export async function renameFolder(from: string, to: string): Promise<void> {
  try {
    await fs.rename(from, to);
  } catch (error) {
    if (errnoOf(error) !== "EACCES") throw error;
    const { mode } = await fs.lstat(from);
    await fs.chmod(from, (mode & 0o7777) | 0o700);
    await fs.rename(from, to);
    await fs.chmod(to, mode & 0o7777);
  }
}
