/** Counts what is under way, and tells when nothing is. */
export class InFlight {
  #count = 0;
  readonly #waiting: (() => void)[] = [];

  /** How much is under way. */
  get count(): number {
    return this.#count;
  }

  /** One more is under way, until the returned function is called (again does nothing). */
  begin(): () => void {
    this.#count++;
    let running = true;
    return () => {
      if (!running) return;
      running = false;
      this.#count--;
      if (this.#count === 0) for (const resolve of this.#waiting.splice(0)) resolve();
    };
  }

  /** Resolves once nothing is under way. */
  idle(): Promise<void> {
    if (this.#count === 0) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
