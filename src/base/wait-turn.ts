/** Somebody in a queue. Whoever takes it out of there calls `admit`. */
export interface Waiting {
  readonly admit: () => void;
}

/** Waits at the end of a queue until it is admitted; if the signal fires first, leaves and rejects with its reason. */
export function waitTurn<Facts>(
  queue: (Facts & Waiting)[],
  facts: Facts,
  signal: AbortSignal | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      queue.splice(queue.indexOf(entry), 1);
      reject(signal?.reason);
    };
    const admit = () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    };
    const entry = { ...facts, admit };
    queue.push(entry);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
