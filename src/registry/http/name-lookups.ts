import { lookup } from "node:dns";
import type { LookupFunction } from "node:net";
import type { Clock } from "../../base/index.ts";

/** A name that takes so long is one whose server does not answer. */
const SLOW_MS = 2_000;
const MOST_SLOW_NAMES = 1024;

/**
 * Looks names of hosts up. The process has two threads for that, and a name whose server does not answer holds one for up
 * to a minute: so each name is looked up once at a time, however many connections wait for it, and of those that took long
 * the last time one at a time. Else they would hold up all other hosts' names.
 */
export class NameLookups {
  readonly #clock: Clock;
  readonly #lookUp: LookupFunction;
  readonly #waiting = new Map<string, Parameters<LookupFunction>[2][]>();
  readonly #slowNames = new Set<string>();
  /** Lookups of slow names, the one under way first. */
  readonly #slowLookups: (() => void)[] = [];

  constructor(clock: Clock, lookUp: LookupFunction = lookup) {
    this.#clock = clock;
    this.#lookUp = lookUp;
  }

  /** For node:net's `lookup`. */
  readonly lookUp: LookupFunction = (name, options, tell) => {
    const key = JSON.stringify([name, options]);
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined) {
      waiting.push(tell);
      return;
    }
    const all = [tell];
    this.#waiting.set(key, all);
    const isSlow = this.#slowNames.has(name);
    const begin = () => {
      const beganMs = this.#clock.monotonicMs();
      this.#lookUp(name, options, (...answer) => {
        this.#waiting.delete(key);
        this.#took(name, this.#clock.monotonicMs() - beganMs);
        if (isSlow) this.#nextSlow();
        for (const each of all) each(...answer);
      });
    };
    if (!isSlow || this.#slowLookups.push(begin) === 1) begin();
  };

  #nextSlow(): void {
    this.#slowLookups.shift();
    this.#slowLookups[0]?.();
  }

  #took(name: string, ms: number): void {
    this.#slowNames.delete(name);
    if (ms >= SLOW_MS) this.#slowNames.add(name);
    const [oldest] = this.#slowNames;
    if (this.#slowNames.size > MOST_SLOW_NAMES && oldest !== undefined) this.#slowNames.delete(oldest);
  }
}
