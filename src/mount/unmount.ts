import { errnoOf, type Libc } from "../base/index.ts";
import { UMOUNT } from "./kernel-flags.ts";
import { mountError } from "./mount-errors.ts";
import { mountAt } from "./mount-lookup.ts";
import type { UnmountHow } from "./mounter.ts";

/** `Mounter.unmount` by umount2(2). */
export async function unmount(libc: Libc, target: string | Uint8Array, how: UnmountHow): Promise<void> {
  const flags = UMOUNT.NOFOLLOW | (how === "detach" ? UMOUNT.DETACH : 0);
  try {
    await libc.unmount(target, flags);
  } catch (error) {
    const code = errnoOf(error);
    if (code === "ENOENT" || code === "ENOTDIR") return;
    const path = typeof target === "string" ? target : Buffer.from(target).toString();
    // EINVAL is "no mount there", but also "this one is locked": ask.
    if (code === "EINVAL" && (await mountAt(libc, path)) === undefined) return;
    throw mountError(`unmount ${path}`, error);
  }
}
