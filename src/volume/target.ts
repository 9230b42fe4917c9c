import { promises as fs } from "node:fs";
import { basename, dirname, join } from "node:path";
import { DriverError, errnoOf, unlessMissing } from "../base/index.ts";
import { HeldFolder } from "../mount/index.ts";

/** Kubelet's own folders above a target have this mode, too. */
const TARGET_MODE = 0o750;

/** A target, and the folder above it if that is there. */
export interface SeenTarget {
  /** As `canonicalTargetPath` gives it. */
  readonly path: string;
  /** To be disposed of. */
  readonly folder: HeldFolder | undefined;
}

/** A target's path as it is kept, with the folder that it is in: both in one step. */
export async function openTarget(targetPath: string): Promise<SeenTarget> {
  const clean = withoutSlashes(targetPath);
  // What dots name is not in the folder before them.
  if (!["", ".", ".."].includes(basename(clean))) {
    // A path that cannot be opened is looked at part by part.
    const folder = await HeldFolder.open(dirname(clean)).catch(() => undefined);
    if (folder !== undefined) return { path: join(folder.path, basename(clean)), folder };
  }
  return { path: await canonicalTargetPath(targetPath), folder: undefined };
}

/**
 * A target path as it is kept and used: no link and no needless part above its last one, so that one folder has one
 * name however kubelet's root is reached. The last part stays what it is, a link there is not followed; nor is it by a
 * slash at the end.
 */
export async function canonicalTargetPath(targetPath: string): Promise<string> {
  const clean = withoutSlashes(targetPath);
  return clean === "/" ? clean : join(await canonicalFolder(dirname(clean)), basename(clean));
}

function withoutSlashes(targetPath: string): string {
  return targetPath.replace(/(?<=.)\/+$/, "");
}

/** The folder's path without links; what is missing of it is taken as it is written. */
async function canonicalFolder(path: string): Promise<string> {
  try {
    return await fs.realpath(path);
  } catch (error) {
    const isMissing = ["ENOENT", "ENOTDIR"].includes(errnoOf(error) ?? "");
    // A path that cannot be one (a loop, one too long) stays as it is: whoever uses it is told.
    return isMissing && dirname(path) !== path ? join(await canonicalFolder(dirname(path)), basename(path)) : path;
  }
}

/**
 * Looks whether a volume may go to the target: an empty folder, or nothing in a folder that is there. Throws "refused"
 * for anything else.
 */
export async function checkTarget(targetPath: string): Promise<void> {
  const found = await unlessMissing(fs.lstat(targetPath));
  if (found === undefined) return requireParent(targetPath);
  if (found.isSymbolicLink())
    throw new DriverError("refused", `the target ${targetPath} is a symlink: it is not followed`);
  if (!found.isDirectory())
    throw new DriverError("refused", `the target ${targetPath} is a file, it must be a folder or missing`);
  if ((await fs.readdir(targetPath)).length > 0) {
    throw new DriverError("refused", `the target ${targetPath} has something in it: it is left alone`);
  }
}

const whyNotMade: ReadonlyMap<string, string> = new Map([
  ["ENOENT", "was removed meanwhile, or takes no folders"],
  ["EROFS", "is read-only: is kubelet's pods folder mounted into the driver without readOnly?"],
  ["EPERM", "may not be written (EPERM): is it immutable (chattr +i)?"],
  ["EACCES", "may not be written (EACCES): does the driver run as root?"],
]);

/** Makes the target an empty folder, or finds it to be one; makes none if it fails. Throws as `checkTarget` does. */
export async function prepareTarget(targetPath: string): Promise<void> {
  try {
    await fs.mkdir(targetPath);
  } catch (error) {
    await checkTarget(targetPath);
    const code = errnoOf(error);
    if (code === "EEXIST") return;
    const says = whyNotMade.get(code ?? "");
    if (says === undefined) throw error;
    throw new DriverError("refused", `cannot make the target ${targetPath}, the folder above it ${says}`, error);
  }
  try {
    // Whatever the process's umask.
    await fs.chmod(targetPath, TARGET_MODE);
  } catch (error) {
    // Who is told of a failure takes no folder away. Where this fails, too, an empty one is left, which kubelet's next call uses.
    await fs.rmdir(targetPath).catch(() => undefined);
    if (errnoOf(error) !== "ENOENT") throw error;
    throw new DriverError("refused", `the target ${targetPath} was removed while the volume was published`, error);
  }
}

async function requireParent(targetPath: string): Promise<void> {
  if ((await unlessMissing(fs.stat(dirname(targetPath))))?.isDirectory()) return;
  throw new DriverError(
    "refused",
    `the folder above the target ${targetPath} is missing: is kubelet's pods folder mounted into the driver at the same path?`,
  );
}

const whyItStays: ReadonlyMap<string, string> = new Map([
  ["ENOTDIR", "is no folder any more"],
  ["ENOTEMPTY", "has something in it that is not the volume's"],
  ["EEXIST", "has something in it that is not the volume's"],
  ["EBUSY", "is a mount point by another path"],
  ["EROFS", "is on a read-only file system"],
  ["EPERM", "may not be removed, is the folder above it immutable (chattr +i)?"],
  ["EACCES", "may not be removed (EACCES): does the driver run as root?"],
]);

/** Removes the target's folder, on which nothing is mounted any more. What is not there is no error. */
export async function removeTarget(targetPath: string): Promise<void> {
  try {
    await fs.rmdir(targetPath);
  } catch (error) {
    const code = errnoOf(error);
    if (code === "ENOENT") return;
    const what = whyItStays.get(code ?? "");
    if (what === undefined) throw error;
    throw new DriverError("unavailable", `the target ${targetPath} ${what}: it is left alone`, error);
  }
}
