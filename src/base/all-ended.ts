/** Waits until all of them ended, whatever fails meanwhile; then throws what failed, the first in their order. */
export async function allEnded(works: readonly Promise<unknown>[]): Promise<void> {
  for (const outcome of await Promise.allSettled(works)) if (outcome.status === "rejected") throw outcome.reason;
}
