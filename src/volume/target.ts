import { promises as fs } from "node:fs";
import { DriverError, errnoOf } from "../base/index.ts";

/** Kubelet's own folders above a target have this mode, too. */
const TARGET_MODE = 0o750;

/** A target path as it is kept and used: a slash at its end would have the kernel follow a link there. */
export function cleanTargetPath(targetPath: string): string {
  return targetPath.replace(/(?<=.)\/+$/, "");
}

/**
 * Makes the target an empty folder, or finds it to be one. Throws "refused" for a missing parent and for anything else
 * at the target, which stays as it is.
 */
export async function prepareTarget(targetPath: string): Promise<void> {
  try {
    await fs.mkdir(targetPath);
    // Whatever the process's umask.
    await fs.chmod(targetPath, TARGET_MODE);
    return;
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") {
      throw new DriverError(
        "refused",
        `the folder above the target ${targetPath} is missing: is kubelet's pods folder mounted into the driver at the same path?`,
      );
    }
    if (errnoOf(error) !== "EEXIST") throw error;
  }
  const found = await fs.lstat(targetPath);
  if (found.isSymbolicLink())
    throw new DriverError("refused", `the target ${targetPath} is a symlink: it is not followed`);
  if (!found.isDirectory())
    throw new DriverError("refused", `the target ${targetPath} is a file, it must be a folder or missing`);
  if ((await fs.readdir(targetPath)).length > 0) {
    throw new DriverError("refused", `the target ${targetPath} has something in it: it is left alone`);
  }
}

/** Removes the target's folder, on which nothing is mounted any more. What is not there is no error. */
export async function removeTarget(targetPath: string): Promise<void> {
  try {
    await fs.rmdir(targetPath);
  } catch (error) {
    const code = errnoOf(error);
    if (code === "ENOENT") return;
    if (code === "ENOTEMPTY" || code === "EEXIST" || code === "ENOTDIR") {
      const what = code === "ENOTDIR" ? "is no folder any more" : "has something in it that is not the volume's";
      throw new DriverError("unavailable", `the target ${targetPath} ${what}: it is left alone`, error);
    }
    throw error;
  }
}
