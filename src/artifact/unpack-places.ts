/** A tar layer that is being unpacked, or waits to be. */
export interface PlaceSeeker {
  /** Zstd needs a window of up to 128 MiB. */
  readonly isZstd: boolean;
  /** All of its bytes are there: it waits for no registry. */
  readonly isComplete: boolean;
  /** It has to let go of its place; `leave` says when it has. */
  giveWay(): void;
}

/** Layers that are unpacked at once: each takes a few megabytes, and all of them share one thread. */
export const UNPACK_PLACES = 4;

/**
 * Who may unpack when: so many layers at once, of which one is zstd. A layer that is still being fetched may be unpacked
 * meanwhile, but gives way to one that is complete: a registry that takes its time holds up nobody else's.
 */
export class UnpackPlaces {
  readonly #unpacking = new Set<PlaceSeeker>();
  readonly #waiting = new Map<PlaceSeeker, () => void>();

  /** Resolves when the layer may be unpacked, or rejects with the signal's reason. `leave` gives the place back. */
  enter(seeker: PlaceSeeker, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#waiting.delete(seeker);
        reject(signal.reason);
      };
      if (signal.aborted) return onAbort();
      signal.addEventListener("abort", onAbort, { once: true });
      this.#waiting.set(seeker, () => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      });
      this.settle();
    });
  }

  /** The layer is unpacked, or gave way. */
  leave(seeker: PlaceSeeker): void {
    this.#unpacking.delete(seeker);
    this.settle();
  }

  /** Lets in who may unpack now: to be called when a layer is complete, too. */
  settle(): void {
    const waiting = [...this.#waiting.keys()].sort((a, b) => Number(b.isComplete) - Number(a.isComplete));
    for (const seeker of waiting) {
      if (this.#hasPlace(seeker)) this.#letIn(seeker);
      else if (seeker.isComplete) this.#inTheWayOf(seeker)?.giveWay();
    }
  }

  #hasPlace(seeker: PlaceSeeker): boolean {
    return this.#unpacking.size < UNPACK_PLACES && !(seeker.isZstd && this.#zstd() !== undefined);
  }

  #letIn(seeker: PlaceSeeker): void {
    const resolve = this.#waiting.get(seeker);
    this.#waiting.delete(seeker);
    this.#unpacking.add(seeker);
    resolve?.();
  }

  /** Whom a complete layer need not wait for. */
  #inTheWayOf(seeker: PlaceSeeker): PlaceSeeker | undefined {
    const candidates = seeker.isZstd && this.#zstd() !== undefined ? [this.#zstd()] : [...this.#unpacking];
    return candidates.find((one) => one?.isComplete === false);
  }

  #zstd(): PlaceSeeker | undefined {
    return [...this.#unpacking].find(({ isZstd }) => isZstd);
  }
}
