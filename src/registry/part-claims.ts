import type { ByteRange } from "../base/index.ts";

/** A part of a blob that one connection fetches: from `at`, which moves, to `end`, which may be cut back. */
export interface PartClaim {
  at: number;
  end: number;
}

/** Who fetches which part of a blob, so that no byte is asked for twice. */
export class PartClaims {
  readonly #gaps: () => readonly ByteRange[];
  readonly #claims = new Set<PartClaim>();

  /** `gaps` says what is missing, in order. */
  constructor(gaps: () => readonly ByteRange[]) {
    this.#gaps = gaps;
  }

  /** Claims the first bytes that are missing and that nobody fetches, so many at most; undefined if there are none. */
  take(maxBytes: number): PartClaim | undefined {
    for (const { start, end } of this.#gaps()) {
      let at = start;
      while (at < end) {
        const claimed = this.#firstFrom(at);
        if (claimed === undefined || claimed.at > at) {
          const stop = Math.min(end, at + maxBytes, claimed?.at ?? end);
          return this.add({ at, end: stop });
        }
        at = claimed.end;
      }
    }
    return undefined;
  }

  /** Claims bytes whoever else does. */
  add(claim: PartClaim): PartClaim {
    this.#claims.add(claim);
    return claim;
  }

  release(claim: PartClaim): void {
    this.#claims.delete(claim);
  }

  /** The claim that holds the byte at an offset, or else the first one after it. */
  #firstFrom(offset: number): PartClaim | undefined {
    let first: PartClaim | undefined;
    for (const claim of this.#claims) {
      if (claim.end > offset && claim.at < claim.end && (first === undefined || claim.at < first.at)) first = claim;
    }
    return first;
  }
}
