import { promises as fs } from "node:fs";
import { type Clock, DriverError, errnoOf, sleep } from "../base/index.ts";
import type { MountAt, Mounter } from "../mount/index.ts";

/** How long a busy volume, with all that is stacked on it, is given before it is taken out of sight whatever uses it. */
const BUSY_MS = 2_000;
const RETRY_MS = 100;
/** More mounts than this on one path are a loop of somebody else's. */
const MAX_STACKED = 100;

/**
 * Unmounts whatever is mounted at a target, all of it if mounts are stacked there, and verifies that nothing is left at
 * or below it. What is busy is tried again for a while; then what is below it is unmounted, then it is detached. What
 * hangs is detached at once: nothing else is possible, and that asks its file system nothing.
 */
export async function unmountTarget(mounter: Mounter, targetPath: string, clock: Clock): Promise<void> {
  const untilMs = clock.monotonicMs() + BUSY_MS;
  for (let i = 0; i < MAX_STACKED; i++) {
    const mounted = await lookAt(mounter, targetPath);
    if (mounted === "hung") await mounter.unmount(targetPath, "detach");
    else if (mounted !== undefined) await unmountOne(mounter, targetPath, { clock, untilMs });
    else if ((await unmountBelow(mounter, targetPath)) === 0) return;
  }
  throw new DriverError("unavailable", `cannot unmount ${targetPath}: something mounts there again and again`);
}

/**
 * Takes away the mount of a read-only volume and its folder, where that is all there is; whether it did. The folder is the
 * proof: rmdir(2) takes none that something is mounted at or below, so the table of mounts need not be read. What somebody
 * mounted over it may be the last mount of its file system, which is no business of this way.
 */
export async function takeAwayBind(
  mounter: Mounter,
  targetPath: string,
  isOurs: (mounted: MountAt) => Promise<boolean>,
): Promise<boolean> {
  try {
    const mounted = await mounter.mountAt(targetPath);
    if (mounted !== undefined) {
      if (!(await isOurs(mounted))) return false;
      await mounter.unmount(targetPath, "bind");
    }
    await fs.rmdir(targetPath);
    return true;
  } catch {
    // Busy, hung, stacked, somebody's files, gone: the careful way meets it again, and tells it.
    return false;
  }
}

async function lookAt(mounter: Mounter, targetPath: string): Promise<MountAt | undefined | "hung"> {
  try {
    return await mounter.mountAt(targetPath);
  } catch (error) {
    if (error instanceof DriverError && error.kind === "unavailable") return "hung";
    throw error;
  }
}

async function unmountOne(
  mounter: Mounter,
  targetPath: string,
  { clock, untilMs }: { readonly clock: Clock; readonly untilMs: number },
): Promise<void> {
  for (;;) {
    try {
      return await mounter.unmount(targetPath, "plain");
    } catch (error) {
      if (errnoOf(error) !== "EBUSY") throw error;
    }
    if (clock.monotonicMs() >= untilMs) break;
    await sleep(clock, RETRY_MS);
  }
  await unmountBelow(mounter, targetPath);
  await mounter.unmount(targetPath, "detach");
}

/** Unmounts what lies below a target, deepest first; how many mounts that were. */
async function unmountBelow(mounter: Mounter, targetPath: string): Promise<number> {
  const below = await mounter.mountsBelow(targetPath);
  for (const entry of below) await mounter.unmount(entry.mountPointBytes, "detach");
  return below.length;
}
