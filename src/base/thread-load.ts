/** How busy the calling thread is. */
export class ThreadLoad {
  #last = utilization();

  /** The share of the time since the last call in which the thread did not wait for anything: 0 to 1. */
  sample(): number {
    const now = utilization();
    const [active, idle] = [now.active - this.#last.active, now.idle - this.#last.idle];
    this.#last = now;
    // A runtime that does not measure it is taken for a busy one.
    return active + idle > 0 ? active / (active + idle) : 1;
  }
}

function utilization(): { readonly active: number; readonly idle: number } {
  return performance.eventLoopUtilization?.() ?? { active: 0, idle: 0 };
}
