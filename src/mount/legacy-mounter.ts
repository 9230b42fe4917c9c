import { promises as fs } from "node:fs";
import { join } from "node:path";
import { errnoOf, type Libc } from "../base/index.ts";
import { MS } from "./kernel-flags.ts";
import { mountError } from "./mount-errors.ts";
import { mountCallFlags } from "./mount-flags.ts";
import { createMountLookup, mountAt, mountTable } from "./mount-lookup.ts";
import { withTarget } from "./mount-target.ts";
import type { BindOptions, Mounter } from "./mounter.ts";
import { mountOverlay, type OverlayFeatures, refreshOverlay } from "./overlay.ts";
import { pathOfHandle, withPathHandle } from "./path-handle.ts";
import { unmount } from "./unmount.ts";

/** What a mounter for Linux 4.18 to 5.11 needs. */
export interface LegacyMounterOptions {
  readonly libc: Libc;
  /** A folder of its own, made when only it is missing. Never delete in it: what is in there may be mounts of trees. */
  readonly stagingFolder: string;
  readonly overlay: OverlayFeatures;
}

/**
 * The mounter for kernels without mount_setattr(2). Flags are set on a mount in a private folder first, as a remount at
 * the target would come too late and would not reach the peers of a shared one; a bind of that mount inherits them.
 */
export function createLegacyMounter({ libc, stagingFolder, overlay }: LegacyMounterOptions): Mounter {
  let ready: Promise<void> | undefined;
  const makeReady = () => {
    ready ??= prepareStaging(libc, stagingFolder).catch((error: unknown) => {
      ready = undefined;
      throw error;
    });
    return ready;
  };
  return {
    ...createMountLookup(libc),
    async bind(options) {
      try {
        await options.ready;
        await makeReady();
        await bindThroughStaging(libc, stagingFolder, options);
      } catch (error) {
        throw mountError(`bind ${options.source} to ${options.target}`, error);
      }
    },
    overlay: (options) => mountOverlay(libc, overlay, options),
    refreshOverlay: (target) => refreshOverlay(libc, target),
    unmount: (target, how) => unmount(libc, target, how),
  };
}

/** Makes the staging folder a private mount; what a crash left mounted in it goes with the old one. */
async function prepareStaging(libc: Libc, stagingFolder: string): Promise<void> {
  await makeFolder(stagingFolder);
  while ((await mountAt(libc, stagingFolder)) !== undefined) await unmount(libc, stagingFolder, "detach");
  for (const name of await fs.readdir(stagingFolder)) await removeLeftover(join(stagingFolder, name));
  await libc.mount({ source: stagingFolder, target: stagingFolder, flags: MS.BIND });
  await libc.mount({ target: stagingFolder, flags: MS.PRIVATE });
}

async function makeFolder(path: string): Promise<void> {
  try {
    await fs.mkdir(path, 0o700);
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw error;
  }
}

async function removeLeftover(path: string): Promise<void> {
  try {
    await fs.rmdir(path);
  } catch (error) {
    // Not a mount point of ours, which is always an empty folder: somebody put it there, and it is in nobody's way.
    if (!["ENOTEMPTY", "ENOTDIR"].includes(errnoOf(error) ?? "")) throw error;
  }
}

async function bindThroughStaging(libc: Libc, stagingFolder: string, options: BindOptions): Promise<void> {
  const { source, target, readOnly, flags } = options;
  await withTarget(target, async (targetFd) => {
    const staged = await fs.mkdtemp(join(stagingFolder, "bind-"));
    try {
      await withPathHandle(source, { follow: false, folder: true }, (fd) =>
        libc.mount({ source: pathOfHandle(fd), target: staged, flags: MS.BIND }),
      );
      await libc.mount({ target: staged, flags: MS.PRIVATE });
      const inherited = await inheritedFlags(staged);
      const wanted = mountCallFlags(flags, readOnly);
      await libc.mount({ target: staged, flags: MS.REMOUNT | MS.BIND | inherited | wanted });
      await libc.mount({ source: staged, target: pathOfHandle(targetFd), flags: MS.BIND });
    } finally {
      await unmount(libc, staged, "detach");
      await fs.rmdir(staged);
    }
  });
}

/** A remount clears the flags it does not name (access times aside): those of the source's mount must be named. */
async function inheritedFlags(staged: string): Promise<number> {
  const options = (await mountTable.mountHolding(staged))?.options ?? [];
  const flags = { ro: MS.RDONLY, noexec: MS.NOEXEC, nodiratime: MS.NODIRATIME };
  return Object.entries(flags).reduce((sum, [name, flag]) => (options.includes(name) ? sum | flag : sum), 0);
}
