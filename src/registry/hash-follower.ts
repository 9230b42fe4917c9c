import type { BlobProgress, ReadBack } from "./blob-progress.ts";

/** What is followed, and where it is read. */
export interface HashFollowerOptions {
  readonly progress: BlobProgress;
  readonly read: ReadBack;
  /** So many bytes from the start were hashed. */
  readonly hashed: ((bytes: number) => void) | undefined;
}

/** Hashes what was there before a download, or came out of order, beside what comes. */
export class HashFollower {
  readonly #options: HashFollowerOptions;
  /** The hash on its way to those bytes. */
  #following: Promise<void> | undefined;
  /** Fires when nobody needs the hash any more. */
  #stop = new AbortController();

  constructor(options: HashFollowerOptions) {
    this.#options = options;
  }

  /** Sets out, unless it is on its way. What cannot be read now is read once more at the end, and told then. */
  follow(): void {
    if (this.#following !== undefined) return;
    const { progress, read, hashed } = this.#options;
    const onHashed = () => hashed?.(progress.hashedBytes);
    const following = progress.catchUp(read, onHashed, this.#stop.signal).finally(() => {
      this.#following = undefined;
    });
    following.catch(() => undefined);
    this.#following = following;
  }

  /** Settles when it has caught up as far as it gets now, or with why it cannot. */
  async arrived(): Promise<void> {
    await this.#following;
  }

  /** Leaves off, and reads nothing any more once this settles. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.rest();
    this.#stop = new AbortController();
  }

  /** The same without being told to: what it follows was started over. */
  async rest(): Promise<void> {
    await this.#following?.catch(() => undefined);
  }
}
