import { randomUUID } from "node:crypto";
import { promises as fs } from "node:fs";
import { dirname, join } from "node:path";

/** How a small file is written. */
export interface DurableOptions {
  /** Whatever the umask; 0600 if left out. */
  readonly mode?: number;
  /** Where a crash may leave a temporary file, on the same file system; the file's own folder if left out. */
  readonly temporaryFolder?: string;
}

/**
 * Writes a small file so that after a crash it is whole or as it was before: a temporary file, fsync, rename, fsync of
 * the folder. A failure leaves no temporary file.
 */
export async function writeFileDurably(
  path: string,
  content: string | Uint8Array,
  { mode = 0o600, temporaryFolder = dirname(path) }: DurableOptions = {},
): Promise<void> {
  const temporary = join(temporaryFolder, `.${randomUUID()}.tmp`);
  try {
    const file = await fs.open(temporary, "wx", 0o600);
    try {
      await file.chmod(mode);
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await fs.rename(temporary, path);
  } catch (error) {
    await fs.rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(dirname(path));
}

/** Makes what was created, renamed or removed in a folder survive a power cut. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await fs.open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
