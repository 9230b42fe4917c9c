/** Runs at most one piece of work per key; callers that come while it runs share its outcome. */
export class SingleFlight<T> {
  readonly #running = new Map<string, Promise<T>>();

  /** The outcome of the work under way for `key`, or of `start()` if there is none. */
  run(key: string, start: () => Promise<T>): Promise<T> {
    const running = this.#running.get(key);
    if (running !== undefined) return running;
    const work = (async () => start())().finally(() => this.#running.delete(key));
    this.#running.set(key, work);
    return work;
  }
}
