import { promises as fs } from "node:fs";
import { DriverError, errnoOf } from "../base/index.ts";
import { withPathHandle } from "./path-handle.ts";

/**
 * Calls `mount` with a descriptor of the folder at `target`, so that no symlink that is put there meanwhile is followed.
 * "refused" if the target is missing, a symlink or no folder.
 */
export async function withTarget(target: string, mount: (fd: number) => Promise<void>): Promise<void> {
  let opened = false;
  try {
    await withPathHandle(target, { follow: false, folder: true }, (fd) => {
      opened = true;
      return mount(fd);
    });
  } catch (error) {
    if (opened) throw error;
    throw await targetError(target, error);
  }
}

/** The error of a call that wants a folder at `target`, as "refused" if it is because of what is there. */
export async function targetError(target: string, error: unknown): Promise<unknown> {
  const code = errnoOf(error);
  if (code === "ENOENT") return new DriverError("refused", `cannot mount at ${target}: there is no such folder`, error);
  // move_mount(2) says EINVAL for what is no folder, and for much else.
  if (code !== "ENOTDIR" && code !== "EINVAL") return error;
  const found = await fs.lstat(target).catch(() => undefined); // Gone meanwhile, or a part above it is no folder.
  if (code === "EINVAL" && (found === undefined || found.isDirectory())) return error;
  const what = found?.isSymbolicLink() ? "it is a symbolic link, which is never followed" : "it is not a folder";
  return new DriverError("refused", `cannot mount at ${target}: ${what}`, error);
}
