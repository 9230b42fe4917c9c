import { type Clock, DriverError, errnoOf, sleep } from "../base/index.ts";
import type { Mounter } from "../mount/index.ts";

/** How long a busy volume is given before it is taken out of sight whatever uses it. */
const BUSY_MS = 2_000;
const RETRY_MS = 100;
/** More mounts than this on one path are a loop of somebody else's. */
const MAX_STACKED = 100;

/**
 * Unmounts whatever is mounted at a target, all of it if mounts are stacked there, and verifies that nothing is left.
 * What is busy is tried again for a while, then detached with all below it.
 */
export async function unmountTarget(mounter: Mounter, targetPath: string, clock: Clock): Promise<void> {
  for (let i = 0; i < MAX_STACKED; i++) {
    if ((await mounter.mountAt(targetPath)) === undefined) return;
    await unmountOne(mounter, targetPath, clock);
  }
  throw new DriverError("unavailable", `cannot unmount ${targetPath}: something mounts there again and again`);
}

async function unmountOne(mounter: Mounter, targetPath: string, clock: Clock): Promise<void> {
  const untilMs = clock.monotonicMs() + BUSY_MS;
  for (;;) {
    try {
      return await mounter.unmount(targetPath, "plain");
    } catch (error) {
      if (errnoOf(error) !== "EBUSY") throw error;
      if (clock.monotonicMs() >= untilMs) return mounter.unmount(targetPath, "detach");
      await sleep(clock, RETRY_MS);
    }
  }
}
