import { type Clock, KeyedLock, Semaphore } from "../base/index.ts";
import type { HttpBody, HttpResponse } from "./http/http-types.ts";
import { readAtMostOf } from "./http/read-at-most.ts";
import { hostLabel } from "./http/target.ts";
import { TransportError } from "./http/transport-error.ts";

/** From this size on manifests take a noticeable part of the memory that the driver may have. */
const LARGE_BYTES = 512 * 1024;
/** So many large ones lie in memory at once, however many hosts send some. */
const LARGE_AT_ONCE = 8;
/** A host that takes longer for a large one keeps others' waiting. A slow link brings one in this time. */
const LONGEST_MS = 3 * 60_000;

/**
 * Reads manifests' bodies. Large ones of one host come one after the other, as each lies in memory until it is whole, and
 * only so many of all hosts, which take turns: a name of a host costs nothing. Small ones wait for nobody.
 */
export class LargeManifests {
  readonly #clock: Clock;
  readonly #ofHost = new KeyedLock();
  readonly #places = new Semaphore(LARGE_AT_ONCE);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** As `HttpBody.readAtMost`; rejects with a `TransportError`, too, for a large one that takes too long. */
  async read(
    { body, target }: Pick<HttpResponse, "body" | "target">,
    maxBytes: number,
    signal: AbortSignal | undefined,
  ): ReturnType<HttpBody["readAtMost"]> {
    const host = hostLabel(target);
    if (body.length === undefined) return await this.#readUnknown(body, { host, maxBytes, signal });
    if (body.length < LARGE_BYTES) return await body.readAtMost(maxBytes);
    return await this.#inTurn(host, () => body.readAtMost(maxBytes, LONGEST_MS), signal);
  }

  /** Of a body whose length only the end tells, the turn is taken when it turns out to be large. */
  async #readUnknown(
    body: HttpBody,
    { host, maxBytes, signal }: { host: string; maxBytes: number; signal: AbortSignal | undefined },
  ): ReturnType<HttpBody["readAtMost"]> {
    const over = Promise.withResolvers<void>();
    let [came, dueMs] = [0, Number.POSITIVE_INFINITY];
    const turn = () =>
      new Promise<void>((resolve, reject) => {
        const hold = () => {
          dueMs = this.#clock.monotonicMs() + LONGEST_MS;
          resolve();
          return over.promise;
        };
        this.#inTurn(host, hold, signal).catch(reject);
      });
    const readInto: HttpBody["readInto"] = (sink) =>
      body.readInto((chunk) => {
        if (this.#clock.monotonicMs() > dueMs) throw new TransportError("stalled", host, "its manifest takes too long");
        const before = came;
        came += chunk.length;
        const taken = sink(chunk);
        return before < LARGE_BYTES && came >= LARGE_BYTES ? turn() : taken;
      });
    try {
      return await readAtMostOf(maxBytes, { length: undefined, readInto });
    } finally {
      over.resolve();
    }
  }

  #inTurn<T>(host: string, work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    const inPlace = async () => {
      const leave = await this.#places.acquire(signal, { isUrgent: false, group: host });
      try {
        return await work();
      } finally {
        leave();
      }
    };
    return this.#ofHost.run(host, inPlace, signal);
  }
}
