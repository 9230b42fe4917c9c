import {
  type Clock,
  type DriverError,
  describeError,
  errorFromData,
  errorToData,
  type Logger,
  Semaphore,
} from "../base/index.ts";
import type { Tree } from "../cache/index.ts";
import { untilAborted } from "../registry/index.ts";
import { type Patience, waitPatiently } from "./patience.ts";
import { Pull, type PullWork, type WatchPull } from "./pull.ts";
import type { VolumeOffer } from "./pull-offers.ts";
import { observePull, type PullObserver } from "./pull-observer.ts";

/** How long a failure that nobody waited for is kept for the volume's next call: kubelet's backoff reaches 2 minutes. */
const FAILURE_KEPT_MS = 5 * 60_000;

/** One volume's wish for a tree. */
export interface PullRequest {
  /** Names the volume among all others. */
  readonly volume: string;
  /** Names the pull: the tree, and the repository that gives its bytes. */
  readonly key: string;
  /** What messages call the artifact. */
  readonly reference: string;
  /** Where its bytes come from: registries take turns, so that one with hundreds of pulls keeps no other one's waiting. */
  readonly registry: string;
  /** What the call lets the pull show to registries. */
  readonly offer: VolumeOffer;
  readonly work: PullWork;
}

/** What pulls need from outside. */
export interface PullsOptions {
  /** So many at once. */
  readonly maxPulls: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly observer?: PullObserver | undefined;
}

/** How somebody waits for a pull to its end. */
export interface PullWatch {
  readonly signal: AbortSignal;
  readonly onEvent: WatchPull;
}

/** All pulls of the node: at most one a tree, and so many at once. */
export class Pulls {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #observer: PullObserver | undefined;
  readonly #places: Semaphore;
  readonly #running = new Map<string, Pull>();
  readonly #ending = new Map<string, Promise<unknown>>();
  readonly #failures = new Map<string, { readonly key: string; readonly error: DriverError; readonly atMs: number }>();

  constructor(options: PullsOptions) {
    this.#clock = options.clock;
    this.#observer = options.observer;
    this.#log = options.log;
    this.#places = new Semaphore(options.maxPulls);
  }

  /**
   * Starts the pull of a tree or joins the one under way. Throws the failure of an earlier one that this volume wanted
   * and has not been told of.
   */
  join(request: PullRequest): Pull {
    const { volume, key } = request;
    const failure = this.#takeFailure(volume, key);
    if (failure !== undefined) throw failure;
    this.leave(volume, key);
    const pull = this.#running.get(key) ?? this.#start(request);
    pull.add(volume, request.offer);
    return pull;
  }

  /** Waits for a pull that the volume joined, as long as the caller can. */
  wait(pull: Pull, volume: string, patience: Patience): Promise<Tree> {
    const options = { patience, clock: this.#clock, late: () => pull.late() };
    return this.#whileWaiting(pull, volume, () => waitPatiently(pull.outcomeFor(volume), options));
  }

  /** Waits for a pull until it has ended, or the signal fires, and tells meanwhile how it goes. */
  async watch(pull: Pull, volume: string, { signal, onEvent }: PullWatch): Promise<Tree> {
    const endWatch = pull.watch(onEvent);
    try {
      return await this.#whileWaiting(pull, volume, () => untilAborted(pull.outcomeFor(volume), signal));
    } finally {
      endWatch();
    }
  }

  async #whileWaiting(pull: Pull, volume: string, wait: () => Promise<Tree>): Promise<Tree> {
    pull.waiting.set(volume, (pull.waiting.get(volume) ?? 0) + 1);
    try {
      return await wait();
    } finally {
      const calls = (pull.waiting.get(volume) ?? 1) - 1;
      if (calls === 0) pull.waiting.delete(volume);
      else pull.waiting.set(volume, calls);
    }
  }

  /** A volume wants nothing any more (or only `except`): a pull that no volume wants is cancelled. */
  leave(volume: string, except?: string): void {
    if (except === undefined) this.#failures.delete(volume);
    for (const [key, pull] of this.#running) {
      if (key === except || !pull.remove(volume) || pull.wanters.size > 0) continue;
      this.#running.delete(key);
      this.#log.info("pull cancelled: no volume wants it any more", { pull: key });
      pull.cancel();
    }
  }

  /** Cancels everything and waits until it has let go. */
  async close(): Promise<void> {
    const ending = [...this.#running.values()].map((pull) => {
      pull.cancel();
      return pull.outcome.catch(() => undefined);
    });
    await Promise.all([...ending, ...this.#ending.values()]);
  }

  #start(request: PullRequest): Pull {
    const { key, reference, registry, work } = request;
    const previous = this.#ending.get(key) ?? Promise.resolve();
    const startedMs = this.#clock.monotonicMs();
    const observed = this.#observer && observePull(work, this.#observer.pullQueued(), this.#clock);
    const pull = new Pull({
      reference,
      clock: this.#clock,
      acquirePlace: (signal, isUrgent) =>
        previous.then(() => this.#places.acquire(signal, { isUrgent, group: registry })),
      placesAhead: () => this.#placesBefore(key),
      onRefused: (volume, error) => this.#refused({ volume, key, reference }, pull, error),
      work: observed?.work ?? work,
    });
    this.#running.set(key, pull);
    this.#log.info("pull started", { reference, pull: key });
    if (observed !== undefined) pull.outcome.then(observed.succeeded, observed.failed);
    const ended = pull.outcome.then(
      () => this.#log.info("pull finished", { reference, pull: key, seconds: this.#secondsSince(startedMs) }),
      (error: unknown) => this.#failed(pull, request, error),
    );
    const gone = ended.finally(() => {
      if (this.#running.get(key) === pull) this.#running.delete(key);
      if (this.#ending.get(key) === gone) this.#ending.delete(key);
    });
    this.#ending.set(key, gone);
    return pull;
  }

  #failed(pull: Pull, { reference, key }: PullRequest, error: unknown): void {
    if (pull.cancelled) return;
    this.#log.warn("pull failed", { reference, pull: key, reason: describeError(error) });
    const atMs = this.#clock.monotonicMs();
    for (const [volume, kept] of this.#failures) if (atMs - kept.atMs > FAILURE_KEPT_MS) this.#failures.delete(volume);
    for (const volume of pull.wanters) {
      if (!pull.waiting.has(volume))
        this.#failures.set(volume, { key, error: errorFromData(errorToData(error)), atMs });
    }
  }

  /** A volume failed alone. */
  #refused(
    { volume, key, reference }: Pick<PullRequest, "volume" | "key" | "reference">,
    pull: Pull,
    error: DriverError,
  ): void {
    this.#log.warn("a volume's credentials are refused; its pull goes on for others", {
      reference,
      pull: key,
      reason: describeError(error),
    });
    if (!pull.waiting.has(volume)) this.#failures.set(volume, { key, error, atMs: this.#clock.monotonicMs() });
  }

  /** How many pulls came before one and have not ended, at most; those that let others go first do not count. */
  #placesBefore(key: string): number {
    const before = [...this.#running.keys()].indexOf(key);
    return [...this.#running.values()].slice(0, Math.max(0, before)).filter((pull) => !pull.isAway).length;
  }

  #takeFailure(volume: string, key: string): DriverError | undefined {
    const failure = this.#failures.get(volume);
    if (failure === undefined) return undefined;
    this.#failures.delete(volume);
    const fresh = this.#clock.monotonicMs() - failure.atMs <= FAILURE_KEPT_MS;
    return fresh && failure.key === key ? failure.error : undefined;
  }

  #secondsSince(startedMs: number): number {
    return Math.round((this.#clock.monotonicMs() - startedMs) / 100) / 10;
  }
}
