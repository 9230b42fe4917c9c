import type { ByteRange } from "../base/index.ts";
import type { HttpBody } from "./http/http-types.ts";
import type { PartClaim } from "./part-claims.ts";

/** Takes bytes of a blob that belong at an offset; its connection rests until the promise settles. */
export type TakeBytes = (chunk: Buffer, offset: number) => void | Promise<void>;

/** What a body carries and what is wanted of it. */
export interface PartReception {
  /** What it carries, as its head says. */
  readonly part: ByteRange;
  /** What is wanted of it: from where the claim stands to where it ends, which may be cut back meanwhile. */
  readonly claim: PartClaim;
  readonly take: TakeBytes;
  /** What to throw where it carries less, or more. */
  readonly wrongLength: (how: "shorter" | "longer") => Error;
}

/** Ends a body early: all that is wanted of it came. */
class Enough extends Error {}

/** Reads a body up to the end of the claim. Rejects as the body does, or with the wrong length's error. */
export async function receivePart(body: HttpBody, reception: PartReception): Promise<void> {
  const { part, claim, take, wrongLength } = reception;
  let at = part.start;
  try {
    await body.readInto((chunk) => {
      if (at + chunk.length > part.end) throw wrongLength("longer");
      const wanted = at + chunk.length <= claim.end ? chunk : chunk.subarray(0, Math.max(0, claim.end - at));
      const taken = take(wanted, at);
      at += wanted.length;
      claim.at = at;
      if (at < claim.end || at === part.end) return taken;
      if (taken === undefined) throw new Enough();
      return taken.then(() => {
        throw new Enough();
      });
    });
  } catch (error) {
    if (!(error instanceof Enough)) throw error;
  }
  if (at < Math.min(part.end, claim.end)) throw wrongLength("shorter");
}
