import type { ByteRange } from "../base/index.ts";
import { headerOf } from "./http/http-message.ts";
import type { HttpResponse } from "./http/http-types.ts";
import { hostLabel } from "./http/target.ts";
import { TransportError } from "./http/transport-error.ts";

/** How a part is asked for, in the order in which it is tried: servers refuse one form and understand another. */
export type RangeForm = "bounded" | "open" | "none";

/** The Range header for a part of a blob; undefined for all of it. */
export function rangeHeader({ start, end }: ByteRange, size: number, form: RangeForm): string | undefined {
  if (form === "none" || (start === 0 && end === size)) return undefined;
  return form === "open" ? `bytes=${start}-` : `bytes=${start}-${end - 1}`;
}

/** Which part of a blob a 206 says it carries; undefined if it does not say so, or contradicts itself. */
function partOf({ headers, body }: HttpResponse, size: number): ByteRange | undefined {
  const range = /^bytes (\d+)-(\d+)\/(\d+|\*)$/i.exec(headerOf(headers, "content-range")?.trim() ?? "");
  if (range === null) return undefined;
  const [start, end] = [Number(range[1]), Number(range[2]) + 1];
  if (start >= end || end > size || (range[3] !== "*" && Number(range[3]) !== size)) return undefined;
  return body.length === undefined || body.length === end - start ? { start, end } : undefined;
}

// A server that gives less at a time would be asked for ever.
const smallestPartBytes = 64 * 1024;

/** The part that a 206 carries, if it is of use for what was asked: it begins there, and is not a crumb of it. */
export function usefulPart(response: HttpResponse, wanted: ByteRange, size: number): ByteRange | undefined {
  const part = partOf(response, size);
  if (part?.start !== wanted.start) return undefined;
  return part.end >= wanted.end || part.end - part.start >= smallestPartBytes ? part : undefined;
}

/**
 * What a 200 is that cannot be the blob: the page of an edge or a proxy, say. A later try, by a new redirect, may be
 * answered otherwise. Its body is dropped.
 */
export function noBlob(response: HttpResponse): TransportError {
  response.body.discard();
  const message = "answered with something else than the blob";
  return new TransportError("protocol", hostLabel(response.target), message);
}

/** True for what is shown to people. */
export function isPage({ headers }: HttpResponse): boolean {
  return /^\s*(text\/html|application\/xhtml\+xml)\b/i.test(headerOf(headers, "content-type") ?? "");
}
