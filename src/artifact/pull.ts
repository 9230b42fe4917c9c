import { type Clock, counted, DriverError } from "../base/index.ts";
import type { Tree } from "../cache/index.ts";
import { ProgressMeter } from "./progress.ts";
import { PullOffers, type VolumeOffer } from "./pull-offers.ts";
import type { FailedTry, OfferedAccess, PullProgress } from "./worker-calls.ts";

/** A pull, as its work sees it. */
export interface RunningPull {
  readonly signal: AbortSignal;
  readonly onEvent: (event: PullProgress | FailedTry) => void;
  /** One caller waits for it, and no volumes: what is offered first is all that there is. */
  readonly isForOneCaller?: true;
  /**
   * What registries may be shown now. Told of a refusal, it fails the volumes whose offer that was, if others want the
   * pull, and answers with what those offer; undefined if there is nothing.
   */
  readonly offer: (refused?: RefusedOffer) => Promise<OfferedAccess | undefined>;
  /** Gives the pull's place to others. */
  readonly leavePlace: () => void;
  /** Waits for a place again; rejects with the signal's reason. */
  readonly takePlace: () => Promise<void>;
}

/** An offer that was not let in, and the answer to it. */
export interface RefusedOffer {
  readonly id: number;
  readonly error: DriverError;
}

type AcquirePlace = (signal: AbortSignal, isUrgent: boolean) => Promise<() => void>;

/** Is told how far a pull is, and why it tries again. */
export type WatchPull = (event: PullProgress | FailedTry) => void;

/** What a pull does while it has its place: the worker's part and the commit. */
export type PullWork = (pull: RunningPull) => Promise<Tree>;

/**
 * The work that makes one tree exist, on its own clock: it outlives the calls that wait for it, and ends early only
 * when no volume wants it any more.
 */
export class Pull {
  /** The volumes that want the tree: those whose calls wait, and those whose calls were answered "not yet". */
  readonly wanters = new Set<string>();
  /** How many calls wait, by volume. */
  readonly waiting = new Map<string, number>();
  readonly outcome: Promise<Tree>;
  readonly #watchers = new Set<WatchPull>();
  readonly #offers = new PullOffers();
  readonly #refusals = new Map<string, PromiseWithResolvers<never>>();
  readonly #onRefused: (volume: string, error: DriverError) => void;
  readonly #reference: string;
  readonly #abort = new AbortController();
  readonly #meter: ProgressMeter;
  readonly #placesAhead: () => number;
  #started = false;
  #releasePlace: (() => void) | undefined;
  #failedTry: string | undefined;
  #doneBytes = 0;

  constructor(options: {
    readonly reference: string;
    readonly clock: Clock;
    /** Waits for one of the node's places for pulls, before others if it had one already; the result gives it back. */
    readonly acquirePlace: AcquirePlace;
    /** How many pulls were started before and have not ended. */
    readonly placesAhead: () => number;
    /** A volume failed alone: the pull goes on for the others. */
    readonly onRefused: (volume: string, error: DriverError) => void;
    readonly work: PullWork;
  }) {
    this.#reference = options.reference;
    this.#meter = new ProgressMeter(options.clock);
    this.#placesAhead = options.placesAhead;
    this.#onRefused = options.onRefused;
    this.outcome = this.#run(options.acquirePlace, options.work);
    // Whoever waits sees the failure; when nobody does it is remembered, not unhandled.
    this.outcome.catch(() => undefined);
  }

  /** A volume wants the tree, and offers this to get it, in place of what it offered before. */
  add(volume: string, offer: VolumeOffer): void {
    this.wanters.add(volume);
    this.#offers.set(volume, offer);
  }

  /** A volume does not want the tree any more; false if it did not before. What it offered is not used again. */
  remove(volume: string): boolean {
    this.#offers.delete(volume);
    return this.wanters.delete(volume);
  }

  /** The tree, as a volume sees it that wants it: if it fails alone, this rejects though the pull goes on. */
  outcomeFor(volume: string): Promise<Tree> {
    const refusal = this.#refusals.get(volume) ?? Promise.withResolvers<never>();
    this.#refusals.set(volume, refusal);
    refusal.promise.catch(() => undefined);
    return Promise.race([this.outcome, refusal.promise]);
  }

  /** Tells a watcher of what goes on from now on, and of what goes wrong already; what is returned ends that. */
  watch(watcher: WatchPull): () => void {
    this.#watchers.add(watcher);
    if (this.#failedTry !== undefined) watcher({ failedTry: this.#failedTry });
    return () => void this.#watchers.delete(watcher);
  }

  /** True while it has its turn, but gave its place to others. */
  get isAway(): boolean {
    return this.#started && this.#releasePlace === undefined;
  }

  /** Stops the work; what is half-made is thrown away by it. */
  cancel(): void {
    this.#abort.abort(
      new DriverError("cancelled", `pull of ${this.#reference} was cancelled: no volume wants it any more`),
    );
  }

  get cancelled(): boolean {
    return this.#abort.signal.aborted;
  }

  /** What a caller whose time is up is told. */
  late(): DriverError {
    if (this.#failedTry !== undefined) return new DriverError("unavailable", this.#failedTry);
    return new DriverError("in-progress", `pulling ${this.#reference}: ${this.#describe()}`);
  }

  #describe(): string {
    if (this.#started) return this.#meter.describe();
    const ahead = this.#placesAhead();
    // A cancelled pull that has not let go yet is not among the others.
    if (ahead === 0) return "waiting for its turn on this node";
    return `waiting for ${counted(ahead, "other pull")} on this node`;
  }

  async #run(acquirePlace: AcquirePlace, work: PullWork): Promise<Tree> {
    const { signal } = this.#abort;
    let hasEnded = false;
    const takePlace = async () => {
      const release = await acquirePlace(signal, this.#started);
      if (this.#releasePlace === undefined && !hasEnded) this.#releasePlace = release;
      else release();
    };
    const leavePlace = () => {
      this.#releasePlace?.();
      this.#releasePlace = undefined;
    };
    await takePlace();
    this.#started = true;
    try {
      const onEvent = (event: PullProgress | FailedTry) => this.#onEvent(event);
      const offer = (refused?: RefusedOffer) => this.#offer(refused);
      return await work({ signal, onEvent, offer, leavePlace, takePlace });
    } finally {
      hasEnded = true;
      leavePlace();
    }
  }

  async #offer(refused: RefusedOffer | undefined): Promise<OfferedAccess | undefined> {
    if (refused === undefined) return this.#offers.first();
    const volumes = await this.#offers.refused(refused.id, refused.error);
    // Nobody is left for whom it could go on: all fail with the pull.
    if (volumes.length > 0 && volumes.length >= this.wanters.size) return undefined;
    for (const volume of volumes) {
      this.remove(volume);
      this.#refusals.get(volume)?.reject(refused.error);
      this.#refusals.delete(volume);
      this.#onRefused(volume, refused.error);
    }
    return this.#offers.first();
  }

  #onEvent(event: PullProgress | FailedTry): void {
    for (const watch of this.#watchers) watch(event);
    if ("failedTry" in event) {
      this.#failedTry = event.failedTry;
      return;
    }
    // Bytes came since: the try that failed is not the last one.
    if (event.doneBytes > this.#doneBytes) this.#failedTry = undefined;
    this.#doneBytes = event.doneBytes;
    this.#meter.update(event);
  }
}
