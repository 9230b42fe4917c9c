import type { RangeForm } from "./blob-answer.ts";
import { TransportError } from "./http/transport-error.ts";
import { StatusError } from "./status-error.ts";

/**
 * In which form the rest of a blob is asked for: servers refuse ranges with all kinds of statuses, and with pages, while
 * they would give all of the blob.
 */
export class RangeForms {
  readonly #maxTries: number;
  #form: RangeForm = "bounded";
  #refusals = 0;
  #isOnlyWhole = false;

  /** `maxTries`: after so many failures in a row the host is given up. */
  constructor(maxTries: number) {
    this.#maxTries = maxTries;
  }

  /** The form of the next request. */
  get form(): RangeForm {
    return this.#form;
  }

  /** A range was answered as it should be. */
  accepted(): void {
    this.#refusals = 0;
  }

  /** What the server made of the range is of no use. */
  next(): void {
    this.#form = this.#form === "bounded" ? "open" : "none";
  }

  /** From now on nothing but all of it is of use. */
  onlyWhole(): void {
    this.#isOnlyWhole = true;
    this.#form = "none";
  }

  /** A request for a part failed: true if it is to be tried at once in another form, which is `form` now. */
  mayAskOtherwise(error: unknown): boolean {
    const isPage = error instanceof TransportError && error.fault === "protocol";
    const status = error instanceof StatusError ? error.status : undefined;
    if (status === undefined && !isPage) return false;
    if (this.#form === "none") {
      // All of it is refused like a part: it was not the range.
      if (!this.#isOnlyWhole) this.#form = "bounded";
      this.#refusals = 0;
      return false;
    }
    this.#refusals++;
    if (error instanceof StatusError && (status === 429 || error.retryAfterMs !== undefined)) {
      // It may well mean what it says: it is left alone until then, and only the last try asks for all of it, since what
      // came so far is lost by that.
      if (this.#refusals === this.#maxTries - 1) this.#form = "none";
      return false;
    }
    const isClear = error instanceof StatusError && error.role === "registry" && error.status < 500;
    if (!isClear && this.#refusals < 2) return false;
    // Most likely it is the credential that is refused: it is shown no more often than it takes to tell.
    if (status === 401) this.#form = "none";
    else this.next();
    return true;
  }
}
