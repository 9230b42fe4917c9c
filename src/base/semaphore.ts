interface Waiting {
  readonly admit: () => void;
  readonly isUrgent: boolean;
  readonly group: string;
}

/** How somebody waits for a place. */
export interface Wait {
  /** Before all who are in no hurry. */
  readonly isUrgent: boolean;
  /** Groups take turns: a hundred of one do not keep one of another waiting. */
  readonly group: string;
}

const PLAIN: Wait = { isUrgent: false, group: "" };

/** Lets at most `size` holders in at once; the others wait, those of one group in the order they came. */
export class Semaphore {
  #free: number;
  readonly #waiting: Waiting[] = [];
  /** By group: when one of it was let in last, as a count of all who were, since nobody waited. */
  readonly #turns = new Map<string, number>();

  constructor(size: number) {
    this.#free = size;
  }

  /** How many wait for a place. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Waits for a place and returns what gives it back (once); rejects with the signal's reason if that fires first. */
  async acquire(signal?: AbortSignal, wait = PLAIN): Promise<() => void> {
    signal?.throwIfAborted();
    if (this.#free > 0) {
      this.#free--;
      this.#tookTurn(wait.group);
    } else {
      await this.#wait(signal, wait);
    }
    return this.#held();
  }

  /** A place without waiting, and what gives it back; undefined if none is free. */
  tryAcquire(): (() => void) | undefined {
    if (this.#free === 0) return undefined;
    this.#free--;
    return this.#held();
  }

  #held(): () => void {
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#release();
    };
  }

  #wait(signal: AbortSignal | undefined, { isUrgent, group }: Wait): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#waiting.splice(this.#waiting.indexOf(entry), 1);
        reject(signal?.reason);
      };
      const entry = {
        isUrgent,
        group,
        admit: () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        },
      };
      const rest = isUrgent ? this.#waiting.findIndex((other) => !other.isUrgent) : -1;
      this.#waiting.splice(rest < 0 ? this.#waiting.length : rest, 0, entry);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  #release(): void {
    const [next] = this.#waiting.splice(this.#next(), 1);
    if (next === undefined) {
      this.#free++;
      return;
    }
    this.#tookTurn(next.group);
    next.admit();
  }

  /** Who is let in next: the first of those in a hurry, else the first of the group that has waited longest for a turn. */
  #next(): number {
    if (this.#waiting[0]?.isUrgent) return 0;
    const lastTurns = this.#waiting.map(({ group }) => this.#turns.get(group) ?? 0);
    return lastTurns.reduce((best, turn, at) => (turn < (lastTurns[best] ?? 0) ? at : best), 0);
  }

  #tookTurn(group: string): void {
    const count = this.#waiting.length === 0 ? 0 : Math.max(0, ...this.#turns.values());
    if (this.#waiting.length === 0) this.#turns.clear();
    this.#turns.set(group, count + 1);
  }
}
