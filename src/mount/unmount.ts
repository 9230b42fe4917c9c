import { errnoOf, type Libc } from "../base/index.ts";
import { OPEN_TREE, UMOUNT } from "./kernel-flags.ts";
import { mountError } from "./mount-errors.ts";
import { mountAt } from "./mount-lookup.ts";
import type { UnmountHow } from "./mounter.ts";

/** `Mounter.unmount` by umount2(2); only what may be the last mount of its file system is kept alive. */
export async function unmount(libc: Libc, target: string | Uint8Array, how: UnmountHow): Promise<void> {
  const flags = UMOUNT.NOFOLLOW | (how === "detach" ? UMOUNT.DETACH : 0);
  const release = how === "plain" && typeof target === "string" ? await keepAlive(libc, target) : undefined;
  try {
    await libc.unmount(target, flags);
  } catch (error) {
    const code = errnoOf(error);
    if (code === "ENOENT" || code === "ENOTDIR") return;
    const path = typeof target === "string" ? target : Buffer.from(target).toString();
    // EINVAL is "no mount there", but also "this one is locked": ask.
    if (code === "EINVAL" && (await mountAt(libc, path)) === undefined) return;
    throw mountError(`unmount ${path}`, error);
  } finally {
    release?.();
  }
}

/**
 * Keeps the file system at the path alive, and returns what ends that, in the background. The last unmount of an overlay
 * syncs the whole file system that its upper layer is on, which takes minutes if much was written there; who unmounts
 * only wants it out of sight. Another mount of it, seen by nobody, makes none of its unmounts that others see the last.
 */
async function keepAlive(libc: Libc, path: string): Promise<(() => void) | undefined> {
  let fd: number;
  try {
    fd = await libc.openTree(path, OPEN_TREE.CLONE | OPEN_TREE.CLOEXEC | OPEN_TREE.NOFOLLOW);
  } catch (error) {
    // Before Linux 5.2, at the mount limit, or nothing is there: then the unmount takes as long as it takes.
    if (errnoOf(error) === undefined) throw error;
    return undefined;
  }
  // What can fail in the end was told to whoever synced their files: nobody is left to be told.
  return () => void libc.closeInBackground(fd).catch(() => undefined);
}
