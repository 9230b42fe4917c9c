import { type Clock, DriverError } from "../base/index.ts";
import type { Tree } from "../cache/index.ts";
import { ProgressMeter } from "./progress.ts";
import type { FailedTry, PullProgress } from "./worker-calls.ts";

/** What a pull does while it has its place: the worker's part and the commit. */
export type PullWork = (pull: {
  readonly signal: AbortSignal;
  readonly onEvent: (event: PullProgress | FailedTry) => void;
}) => Promise<Tree>;

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
  readonly #reference: string;
  readonly #abort = new AbortController();
  readonly #meter: ProgressMeter;
  readonly #placesAhead: () => number;
  #started = false;
  #failedTry: string | undefined;
  #doneBytes = 0;

  constructor(options: {
    readonly reference: string;
    readonly clock: Clock;
    /** Waits for one of the node's places for pulls; the result gives it back. */
    readonly acquirePlace: (signal: AbortSignal) => Promise<() => void>;
    /** How many pulls were started before and have not ended. */
    readonly placesAhead: () => number;
    readonly work: PullWork;
  }) {
    this.#reference = options.reference;
    this.#meter = new ProgressMeter(options.clock);
    this.#placesAhead = options.placesAhead;
    this.outcome = this.#run(options.acquirePlace, options.work);
    // Whoever waits sees the failure; when nobody does it is remembered, not unhandled.
    this.outcome.catch(() => undefined);
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
    return `waiting for ${ahead} other pull${ahead === 1 ? "" : "s"} on this node`;
  }

  async #run(acquirePlace: (signal: AbortSignal) => Promise<() => void>, work: PullWork): Promise<Tree> {
    const release = await acquirePlace(this.#abort.signal);
    this.#started = true;
    try {
      return await work({ signal: this.#abort.signal, onEvent: (event) => this.#onEvent(event) });
    } finally {
      release();
    }
  }

  #onEvent(event: PullProgress | FailedTry): void {
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
