import type { Digest } from "../oci/index.ts";
import type { TreeId } from "./layout.ts";

/** What garbage collection takes as a whole: a tree, or the bytes of a digest in whatever form they are stored. */
export type LeaseKey = TreeId | Digest;

/** Keeps something from garbage collection until it is released; to release it twice is no error. */
export interface Lease extends Disposable {
  release(): void;
}

/**
 * The leases of this process: published volumes and pulls under way hold them (pins are on disk, see `Pins`). A lease is
 * taken before one looks whether the thing is there. So a look under a lease stays true, and an eviction under way is
 * waited for: afterwards the thing is gone as a whole.
 */
export class Leases {
  readonly #holders = new Map<LeaseKey, number>();
  readonly #evicting = new Map<LeaseKey, Promise<void>>();

  /** Takes a lease. Waits for an eviction of the same thing, which only renames. */
  async hold(key: LeaseKey): Promise<Lease> {
    // Between the last look and what follows nothing else may run, so this loop cannot be a function of its own.
    for (let ended = this.#evicting.get(key); ended !== undefined; ended = this.#evicting.get(key)) await ended;
    this.#holders.set(key, this.count(key) + 1);
    let held = true;
    const release = () => {
      if (held) this.#release(key);
      held = false;
    };
    return { release, [Symbol.dispose]: release };
  }

  /** Takes leases of several things, released together. */
  async holdAll(keys: Iterable<LeaseKey>): Promise<Lease> {
    const leases: Lease[] = [];
    for (const key of new Set(keys)) leases.push(await this.hold(key));
    const release = () => {
      for (const lease of leases) lease.release();
    };
    return { release, [Symbol.dispose]: release };
  }

  /** How many leases there are. */
  count(key: LeaseKey): number {
    return this.#holders.get(key) ?? 0;
  }

  /** Runs `takeAway` unless there is a lease (then false is the answer); who wants one meanwhile waits until it is done. */
  async evict(key: LeaseKey, takeAway: () => Promise<void>): Promise<boolean> {
    for (let ended = this.#evicting.get(key); ended !== undefined; ended = this.#evicting.get(key)) await ended;
    if (this.count(key) > 0) return false;
    const work = takeAway();
    const ended = work.catch(() => undefined).finally(() => this.#evicting.delete(key));
    this.#evicting.set(key, ended);
    await work;
    return true;
  }

  #release(key: LeaseKey): void {
    const left = this.count(key) - 1;
    if (left === 0) this.#holders.delete(key);
    else this.#holders.set(key, left);
  }
}
