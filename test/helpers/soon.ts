import { setTimeout as delay } from "node:timers/promises";

const SETTLE_DEADLINE_MS = 60_000;
const LOOK_EVERY_MS = 50;

/** Tries again until it holds, or throws what was wrong the last time: for what goes on in the background. */
export async function soon(holds: () => Promise<void>, deadlineMs = SETTLE_DEADLINE_MS): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    try {
      return await holds();
    } catch (reason) {
      if (performance.now() > deadline) throw reason;
    }
    await delay(LOOK_EVERY_MS);
  }
}
