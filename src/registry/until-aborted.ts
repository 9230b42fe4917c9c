/** The work's outcome, or the signal's reason if that fires first; the work itself goes on for others who share it. */
export function untilAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    const afterwards =
      <V>(settle: (value: V) => void) =>
      (value: V) => {
        signal.removeEventListener("abort", onAbort);
        settle(value);
      };
    work.then(afterwards<T>(resolve), afterwards<unknown>(reject));
  });
}
