import type { Clock } from "../base/index.ts";
import type { Endpoint } from "./endpoint.ts";

/** Long enough that the layers of one pull do not each wait for a host that is down. */
const restMs = 30_000;
const maxHosts = 1024;

/** Remembers which hosts failed of late: while others are there, they are asked last. */
export class HostRest {
  readonly #clock: Clock;
  readonly #until = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The host did not serve. */
  failed({ hostKey }: Endpoint): void {
    this.#until.delete(hostKey);
    this.#until.set(hostKey, this.#clock.monotonicMs() + restMs);
    const [oldest] = this.#until.keys();
    if (this.#until.size > maxHosts && oldest !== undefined) this.#until.delete(oldest);
  }

  /** The host served. */
  served({ hostKey }: Endpoint): void {
    this.#until.delete(hostKey);
  }

  isResting({ hostKey }: Endpoint): boolean {
    return (this.#until.get(hostKey) ?? Number.NEGATIVE_INFINITY) > this.#clock.monotonicMs();
  }
}
