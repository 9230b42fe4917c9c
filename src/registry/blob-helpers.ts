import type { Clock } from "../base/index.ts";
import { usefulPart } from "./blob-answer.ts";
import type { BlobProgress } from "./blob-progress.ts";
import { ConnectionGrowth } from "./connection-growth.ts";
import type { HttpResponse } from "./http/http-types.ts";
import { hostLabel } from "./http/target.ts";
import { TransportError } from "./http/transport-error.ts";
import type { PartClaim, PartClaims } from "./part-claims.ts";
import { receivePart, type TakeBytes } from "./receive-part.ts";
import { StatusError } from "./status-error.ts";

/** A blob of this size may be fetched over several connections. */
export const SHARED_BLOB_BYTES = 64 * 1000 * 1000;

const tickMs = 250;
const smallestPartBytes = 8 * 1024 * 1024;
const largestPartBytes = 64 * 1024 * 1024;
/** After so many failures nobody helps any more. */
const mostFailures = 6;

/** What helping with a blob needs. */
export interface BlobHelpersOptions {
  readonly clock: Clock;
  readonly progress: BlobProgress;
  readonly claims: PartClaims;
  /** The share of the time in which this thread was busy since it was asked last. */
  readonly threadLoad: () => number;
  /** Asks for a part; rejects where that would have to wait for a place. */
  readonly ask: (header: string, signal: AbortSignal) => Promise<HttpResponse>;
  readonly take: TakeBytes;
  /** Bytes had to wait until they might be written, since it was asked last. */
  readonly sinkWaited: () => boolean;
  /** The sink's own failure: it ends the download. */
  readonly onFailure: (error: unknown) => void;
}

/**
 * More connections for a large blob, beside the one that fetches it from its start, while that one is what limits. They
 * only ever help: where one of them fails, whatever the reason, its part is left to the others.
 */
export class BlobHelpers {
  readonly #options: BlobHelpersOptions;
  readonly #growth = new ConnectionGrowth();
  readonly #running = new Set<Promise<void>>();
  readonly #ended = new AbortController();
  readonly #partBytes: number;
  #main: PartClaim | undefined;
  #cancelTick: (() => void) | undefined;
  #isProven = false;
  #failures = 0;

  constructor(options: BlobHelpersOptions) {
    this.#options = options;
    const { size } = options.progress;
    this.#partBytes = Math.min(largestPartBytes, Math.max(smallestPartBytes, Math.ceil(size / 32)));
  }

  /** How much one connection fetches at a time. */
  get partBytes(): number {
    return this.#isProven ? this.#partBytes : Number.POSITIVE_INFINITY;
  }

  /** Watches from now on how the download goes; `main` is what the first connection fetches now. */
  watch(main: PartClaim): void {
    this.#main = main;
    if (this.#cancelTick !== undefined || this.#ended.signal.aborted) return;
    this.#wantedConnections();
    this.#tick();
  }

  /** Resolves when one of them has ended; at once if there are none. */
  async next(): Promise<void> {
    if (this.#running.size > 0) await Promise.race(this.#running);
  }

  /** Ends all of them; resolves when none writes any more. */
  async stop(): Promise<void> {
    this.#cancelTick?.();
    this.#ended.abort(new Error("no more help is needed"));
    await Promise.all(this.#running);
  }

  #tick(): void {
    this.#cancelTick = this.#options.clock.after(tickMs, () => {
      this.#grow(this.#wantedConnections());
      if (this.#failures < mostFailures) this.#tick();
    });
  }

  #wantedConnections(): number {
    const { clock, progress, threadLoad, sinkWaited } = this.#options;
    return this.#growth.wanted({
      nowMs: clock.monotonicMs(),
      receivedBytes: progress.receivedBytes,
      leftBytes: progress.size - progress.receivedBytes,
      connections: this.#running.size + 1,
      threadLoad: threadLoad(),
      sinkWaited: sinkWaited(),
    });
  }

  #grow(wanted: number): void {
    const connections = this.#running.size + 1;
    if (wanted === connections) return;
    if (this.#isProven) {
      for (let more = connections; more < wanted; more++) this.#run(() => this.#help());
    } else if (this.#running.size === 0) this.#run(() => this.#prove());
  }

  #run(work: () => Promise<void>): void {
    const running = work()
      .catch((error: unknown) => {
        const isBusy = error instanceof TransportError && error.fault === "busy";
        if (isBusy || this.#ended.signal.aborted) return;
        // A server that does not like it: the part is left to the others.
        if (error instanceof TransportError || error instanceof StatusError) this.#failures++;
        else this.#options.onFailure(error);
      })
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /**
   * The first of them: if the server gives the part that it is asked for, the connection that fetches all of it ends
   * where that part begins, and the rest is shared.
   */
  async #prove(): Promise<void> {
    const main = this.#main;
    if (main === undefined || main.at + 2 * this.#partBytes > main.end) return;
    const start = main.at + this.#partBytes;
    await this.#fetch({ at: start, end: start + this.#partBytes }, () => {
      const isInTime = main.at < start && start < main.end;
      if (isInTime) main.end = start;
      this.#isProven ||= isInTime;
      return isInTime;
    });
    if (this.#isProven) await this.#help();
  }

  /** Fetches part after part. */
  async #help(): Promise<void> {
    for (;;) {
      const claim = this.#options.claims.take(this.#partBytes);
      if (claim === undefined) return;
      await this.#fetch(claim, () => true);
      // A server that goes on giving parts does not mind, whatever happened to others.
      this.#failures = Math.max(0, this.#failures - 1);
    }
  }

  /** Fetches a part, if `isWanted` says so when its first answer is there. */
  async #fetch(claim: PartClaim, isWanted: () => boolean): Promise<void> {
    const { claims, ask, take, progress } = this.#options;
    claims.add(claim);
    try {
      while (claim.at < claim.end) {
        const response = await ask(`bytes=${claim.at}-${claim.end - 1}`, this.#ended.signal);
        const wanted = { start: claim.at, end: claim.end };
        const part = response.status === 206 ? usefulPart(response, wanted, progress.size) : undefined;
        if (part === undefined || !isWanted()) {
          response.body.discard();
          if (part !== undefined) return;
          throw new TransportError("protocol", hostLabel(response.target), "gave another part than was asked for");
        }
        const wrongLength = () =>
          new TransportError("cut", hostLabel(response.target), "gave a part of another length");
        await receivePart(response.body, { part, claim, take, wrongLength });
      }
    } finally {
      claims.release(claim);
    }
  }
}
