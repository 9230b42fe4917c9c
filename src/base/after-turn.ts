/** Calls `run` once all is done that goes on in the thread now, and what has come in was read: not a moment of time. */
export function afterTurn(run: () => void): void {
  setImmediate(run);
}
