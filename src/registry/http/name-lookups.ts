import { lookup } from "node:dns";
import type { LookupFunction } from "node:net";
import type { Clock } from "../../base/index.ts";

/** A name that is not found after so long is one whose server does not answer. */
const SLOW_MS = 2_000;
const MOST_SLOW_NAMES = 1024;

/**
 * Looks names of hosts up. The process has two threads for that, and a name whose server does not answer holds one for up
 * to a minute: so each name is looked up once at a time, however many connections wait for it, and of those that were
 * not found for long the last time one at a time. Else they would hold up all other hosts' names. One that was found in the
 * end may have waited for such a name itself, or for the first of two name servers.
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
        this.#noteSlow(name, answer[0] !== null && this.#clock.monotonicMs() - beganMs >= SLOW_MS);
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

  #noteSlow(name: string, isSlow: boolean): void {
    this.#slowNames.delete(name);
    if (isSlow) this.#slowNames.add(name);
    const [oldest] = this.#slowNames;
    if (this.#slowNames.size > MOST_SLOW_NAMES && oldest !== undefined) this.#slowNames.delete(oldest);
  }
}
