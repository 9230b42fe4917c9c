import type { Libc } from "../base/index.ts";
import { MS, OPEN_TREE } from "./kernel-flags.ts";
import { mountError } from "./mount-errors.ts";
import { attributesFromFlags } from "./mount-flags.ts";
import { createMountLookup } from "./mount-lookup.ts";
import { targetError } from "./mount-target.ts";
import type { BindOptions, Mounter } from "./mounter.ts";
import { mountOverlay, refreshOverlay } from "./overlay.ts";
import { unmount } from "./unmount.ts";

/** The mounter for Linux 5.12 and later. */
export function createLinuxMounter(libc: Libc): Mounter {
  return {
    ...createMountLookup(libc),
    bind: (options) => bind(libc, options),
    overlay: (options) => mountOverlay(libc, { metacopy: true }, options),
    refreshOverlay: (target) => refreshOverlay(libc, target),
    unmount: (target, how) => unmount(libc, target, how),
  };
}

/**
 * Clones the source's mount where nobody sees it, sets its attributes, moves it to the target. Attributes that are set
 * later would not reach the copies of the mount in the peers of a shared target.
 */
async function bind(libc: Libc, { source, target, readOnly, flags, ready }: BindOptions): Promise<void> {
  try {
    const fd = await libc.openTree(source, OPEN_TREE.CLONE | OPEN_TREE.CLOEXEC | OPEN_TREE.NOFOLLOW);
    try {
      // Private: what is mounted below the target later must not appear in the source.
      libc.setMountAttributes(fd, { ...attributesFromFlags(flags, readOnly), propagation: MS.PRIVATE });
      await ready;
      await libc.moveMount(fd, target).catch(async (error: unknown) => {
        throw await targetError(target, error);
      });
    } finally {
      libc.close(fd);
    }
  } catch (error) {
    throw mountError(`bind ${source} to ${target}`, error);
  }
}
