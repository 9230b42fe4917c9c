import { randomUUID } from "node:crypto";
import { promises as fs } from "node:fs";
import { dirname, join } from "node:path";
import { allEnded } from "./all-ended.ts";

const OWN_MODE = 0o600;

/** How a small file is written. */
export interface DurableOptions {
  /** 0600 if left out; another one is set whatever the umask. */
  readonly mode?: number;
  /** Whether its name, too, must survive a power cut: true if left out. Else it may be as it was before, or not there. */
  readonly syncName?: boolean;
  /** False: nothing need survive a power cut, and nothing is synced. True if left out. */
  readonly isDurable?: boolean;
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
  { mode = OWN_MODE, temporaryFolder = dirname(path), syncName = true, isDurable = true }: DurableOptions = {},
): Promise<void> {
  const temporary = join(temporaryFolder, `.${randomUUID()}.tmp`);
  try {
    const file = await fs.open(temporary, "wx", OWN_MODE);
    let renamed: Promise<void> | undefined;
    try {
      if (mode !== OWN_MODE) await file.chmod(mode);
      await file.writeFile(content);
      if (isDurable) await file.sync();
      // What it holds is on disk: closing it changes nothing any more.
      renamed = fs.rename(temporary, path);
    } finally {
      await allEnded([file.close(), ...(renamed === undefined ? [] : [renamed])]);
    }
  } catch (error) {
    await fs.rm(temporary, { force: true });
    throw error;
  }
  if (syncName && isDurable) await syncFolder(dirname(path));
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
