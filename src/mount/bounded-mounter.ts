import { type Clock, DriverError, Semaphore, SingleFlight } from "../base/index.ts";
import type { Mounter, PathLook } from "./mounter.ts";
import type { HeldFolder } from "./path-handle.ts";

/** A live file system answers in milliseconds, a slow network one in seconds. */
const DEFAULT_LIMIT_MS = 5_000;
/** Each file system that hangs holds one of the four threads that all file access of the process shares. */
const ASKED_AT_ONCE = 2;

/** How long is waited, and by whose clock. */
export interface BoundedOptions {
  readonly clock: Clock;
  readonly limitMs?: number;
}

/** A mounter that gives up on a file system that hangs: "unavailable" that names the path. */
export function createBoundedMounter(mounter: Mounter, options: BoundedOptions): Mounter {
  const looks = new BoundedLooks(mounter, options);
  return {
    ...mounter,
    async unmount(target, how) {
      await mounter.unmount(target, how);
      looks.forget(String(target));
    },
    lookAt: (path, folder) => looks.lookAt(path, folder),
    mountAt: async (path) => (await looks.lookAt(path)).mount,
    isDead: (path) => looks.isDead(path),
  };
}

/** What whoever asked about a path is told if its file system does not answer in time. */
export function hangs(path: string): DriverError {
  return new DriverError("unavailable", `what is mounted at ${path} does not answer: its file system hangs`);
}

class BoundedLooks {
  readonly #mounter: Mounter;
  readonly #clock: Clock;
  readonly #limitMs: number;
  readonly #asking = new Semaphore(ASKED_AT_ONCE);
  readonly #answers = new SingleFlight<boolean>();
  /** Where a look hung, and hangs still: no second thread need find that out. */
  readonly #hung = new Set<string>();

  constructor(mounter: Mounter, { clock, limitMs = DEFAULT_LIMIT_MS }: BoundedOptions) {
    this.#mounter = mounter;
    this.#clock = clock;
    this.#limitMs = limitMs;
  }

  /** Looks are not shared: one that began before a mount was made does not see it. */
  async lookAt(path: string, folder?: HeldFolder): Promise<PathLook> {
    if (this.#hung.has(path)) throw hangs(path);
    const look = this.#mounter.lookAt(path, folder);
    return this.#bounded(path, look, () => {
      this.#hung.add(path);
      const forget = () => this.forget(path);
      look.then(forget, forget);
    });
  }

  /**
   * However many mounts hang and however often they are asked about, a few threads at most hang with them; whoever asks
   * about another one meanwhile waits, and is told the same in the end.
   */
  async isDead(path: string): Promise<boolean> {
    const { mount } = await this.lookAt(path);
    if (mount === undefined) return false;
    // By its number: another mount that is there later is asked anew.
    const answer = this.#answers.run(`${mount.mountId} ${path}`, () => this.#ask(path));
    return this.#bounded(path, answer, () => undefined);
  }

  /** What hung at a path was taken away. */
  forget(path: string): void {
    this.#hung.delete(path);
  }

  async #ask(path: string): Promise<boolean> {
    const release = await this.#asking.acquire();
    try {
      return await this.#mounter.isDead(path);
    } finally {
      release();
    }
  }

  #bounded<T>(path: string, look: Promise<T>, giveUp: () => void): Promise<T> {
    return new Promise((resolve, reject) => {
      const cancel = this.#clock.after(this.#limitMs, () => {
        giveUp();
        reject(hangs(path));
      });
      look.then(resolve, reject).finally(cancel);
    });
  }
}
