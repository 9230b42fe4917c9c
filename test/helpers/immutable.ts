import { spawnSync } from "node:child_process";
import { mkdtempSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Makes a folder immutable until it is disposed of: not even root makes, renames or removes anything in it. */
export function useImmutable(folder: string): Disposable {
  chattr("+i", folder);
  return { [Symbol.dispose]: () => chattr("-i", folder) };
}

/** Why there are no immutable folders here; false if there are. */
export function whyNoImmutable(): string | false {
  const folder = mkdtempSync(join(tmpdir(), "oras-csi-immutable-"));
  try {
    useImmutable(folder)[Symbol.dispose]();
    return false;
  } catch (reason) {
    return reason instanceof Error ? reason.message : String(reason);
  } finally {
    rmdirSync(folder);
  }
}

function chattr(change: string, folder: string): void {
  const { status, stderr, error } = spawnSync("chattr", [change, folder], { encoding: "utf8" });
  if (status !== 0) throw new Error(`chattr ${change} does not work: ${error?.message ?? stderr.trim()}`);
}
