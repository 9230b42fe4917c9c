import { type Waiting, waitTurn } from "./wait-turn.ts";

/** How somebody waits for a place. */
export interface Wait {
  /** Before all who are in no hurry. */
  readonly isUrgent: boolean;
  /** Groups take turns: a hundred of one do not keep one of another waiting. */
  readonly group: string;
}

type GroupMember = Waiting & Pick<Wait, "group">;

const PLAIN: Wait = { isUrgent: false, group: "" };

/** Lets at most `size` holders in at once; the others wait, those of one group in the order they came. */
export class Semaphore {
  #free: number;
  /** Those in a hurry. */
  readonly #urgent: GroupMember[] = [];
  readonly #waiting: GroupMember[] = [];
  /** By group: when one of it was let in last, as a count of all who were, since nobody waited. */
  readonly #turns = new Map<string, number>();

  constructor(size: number) {
    this.#free = size;
  }

  /** How many wait for a place. */
  get waiting(): number {
    return this.#urgent.length + this.#waiting.length;
  }

  /** Waits for a place and returns what gives it back (once); rejects with the signal's reason if that fires first. */
  async acquire(signal?: AbortSignal, wait = PLAIN): Promise<() => void> {
    signal?.throwIfAborted();
    if (this.#free > 0) {
      this.#free--;
      this.#tookTurn(wait.group);
    } else {
      await waitTurn(wait.isUrgent ? this.#urgent : this.#waiting, { group: wait.group }, signal);
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

  #release(): void {
    const next = this.#next();
    if (next === undefined) {
      this.#free++;
      return;
    }
    this.#tookTurn(next.group);
    next.admit();
  }

  /** Who is let in next: the first of those in a hurry, else the first of the group that has waited longest for a turn. */
  #next(): GroupMember | undefined {
    const urgent = this.#urgent.shift();
    if (urgent !== undefined || this.#waiting.length === 0) return urgent;
    const lastTurns = this.#waiting.map(({ group }) => this.#turns.get(group) ?? 0);
    const first = lastTurns.reduce((best, turn, at) => (turn < (lastTurns[best] ?? 0) ? at : best), 0);
    return this.#waiting.splice(first, 1)[0];
  }

  #tookTurn(group: string): void {
    const count = this.waiting === 0 ? 0 : Math.max(0, ...this.#turns.values());
    if (this.waiting === 0) this.#turns.clear();
    this.#turns.set(group, count + 1);
  }
}
