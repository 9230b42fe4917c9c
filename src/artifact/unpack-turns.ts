import { afterTurn } from "../base/index.ts";

/** A layer that is being unpacked. */
export interface TurnTaker {
  /** Whose layer it is. */
  readonly pull: string;
  /** What comes of it is of no use: somebody waits for it to end. */
  isAbandoned(): boolean;
}

/**
 * Who goes on when, on the one thread that all layers are unpacked on. Of a pull's layers the one that began first, as far
 * as its bytes are there: so they end one after the other, and each is made durable while the next ones are unpacked. All
 * at the same speed would end together, and leave the disk idle before and the processor idle then. Pulls take turns.
 */
export class UnpackTurns {
  /** Who is to go first comes first. */
  #takers: readonly TurnTaker[] = [];
  readonly #waiting = new Map<TurnTaker, () => void>();

  /** From now on others let this one go on, too; `end` it in any case. */
  begin(taker: TurnTaker): void {
    this.#takers = [...this.#takers, taker];
  }

  end(taker: TurnTaker): void {
    this.#takers = this.#takers.filter((other) => other !== taker);
  }

  /** Resolves when it is this one's turn to work on what it has: until it waits for something. Undefined: at once. */
  take(taker: TurnTaker): Promise<void> | undefined {
    if (this.#takers.length === 1) return undefined;
    return new Promise((resolve) => {
      this.#waiting.set(taker, resolve);
      if (this.#waiting.size === 1) afterTurn(() => this.#letOneGoOn());
    });
  }

  #letOneGoOn(): void {
    const waiting = this.#takers.filter((taker) => this.#waiting.has(taker));
    const next = waiting.find((taker) => taker.isAbandoned()) ?? waiting[0];
    if (next === undefined) return;
    const goOn = this.#waiting.get(next);
    this.#waiting.delete(next);
    const others = this.#takers.filter(({ pull }) => pull !== next.pull);
    this.#takers = [...others, ...this.#takers.filter(({ pull }) => pull === next.pull)];
    if (this.#waiting.size > 0) afterTurn(() => this.#letOneGoOn());
    goOn?.();
  }
}
