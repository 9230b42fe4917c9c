import type { HostKind } from "../registry/index.ts";
import type { PullProgress } from "./worker-calls.ts";

/** Progress is told at most this often. */
const PROGRESS_MS = 200;

/** What one pull counts, and tells now and then. */
export class PullCounts {
  readonly #emit: (progress: PullProgress) => void;
  readonly #nowMs: () => number;
  #totalBytes = 0;
  #doneBytes = 0;
  #fetchedBytes = 0;
  #mirrorBytes = 0;
  #resumedBytes = 0;
  #retries = 0;
  #phase: PullProgress["phase"] = "fetching";
  #toldMs = Number.NEGATIVE_INFINITY;

  constructor(emit: (progress: PullProgress) => void, nowMs: () => number) {
    this.#emit = emit;
    this.#nowMs = nowMs;
  }

  /** So much is to come in all; less than before if it is asked again. */
  expect(totalBytes: number): void {
    this.#totalBytes = totalBytes;
    this.tell("fetching");
  }

  /** Bytes came from a registry or a mirror of it, and what is done grew by them. */
  fetched(bytes: number, from: HostKind): void {
    this.#fetchedBytes += bytes;
    if (from === "mirror") this.#mirrorBytes += bytes;
    this.advance(bytes);
  }

  /** Bytes that an earlier pull left are gone on with. */
  resumed(bytes: number): void {
    this.#resumedBytes += bytes;
  }

  /** A try failed, and there is another one. */
  retried(): void {
    this.#retries++;
    this.flush();
  }

  /** Tells what has been counted since it was last told. */
  flush(): void {
    this.tell(this.#phase);
  }

  /** More is done, or less: what was thrown away. */
  advance(bytes: number): void {
    this.#doneBytes += bytes;
    if (this.#nowMs() - this.#toldMs >= PROGRESS_MS) this.tell("fetching");
  }

  tell(phase: PullProgress["phase"]): void {
    this.#phase = phase;
    this.#toldMs = this.#nowMs();
    this.#emit({
      phase,
      doneBytes: this.#doneBytes,
      totalBytes: this.#totalBytes,
      fetchedBytes: this.#fetchedBytes,
      mirrorBytes: this.#mirrorBytes,
      resumedBytes: this.#resumedBytes,
      retries: this.#retries,
    });
  }
}
