import { headerOf } from "./http-message.ts";
import type { HttpRequest, HttpResponse } from "./http-types.ts";
import { hostLabel, originKey, resolveLocation, type Target } from "./target.ts";
import { tlsForStranger } from "./tls-settings.ts";
import { TransportError } from "./transport-error.ts";

const redirects: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const maxRedirects = 10;

/** A request that is told, hop by hop, what it may show there. */
export interface RedirectedRequest extends HttpRequest {
  /** For the first origin only, and weaker than `headers`: what is configured for it may be secret. */
  readonly homeHeaders?: ReadonlyMap<string, string> | undefined;
  /**
   * The Authorization header for one hop. `hasStrayed`: the way here led through another origin, whose word
   * must not carry the first one's credentials anywhere, not even back.
   */
  readonly authorizationFor: (target: Target, hasStrayed: boolean) => string | undefined;
}

/**
 * Sends a request and follows what answers with a Location, GET and HEAD only. All `headers` but Authorization
 * go to every hop (Range, too). Rejects as `send` does, and with a `TransportError` for a loop or a step from https to http.
 */
export async function followRedirects(
  send: (request: HttpRequest) => Promise<HttpResponse>,
  request: RedirectedRequest,
): Promise<HttpResponse & { readonly hasStrayed: boolean }> {
  const { authorizationFor, homeHeaders, ...base } = request;
  let target = request.target;
  let hasStrayed = false;
  for (let hop = 0; hop <= maxRedirects; hop++) {
    hasStrayed ||= hop > 0 && originKey(target) !== originKey(request.target);
    const authorization = authorizationFor(target, hasStrayed);
    const headers = new Map(hasStrayed ? [] : homeHeaders);
    for (const [name, value] of base.headers) setHeader(headers, name, value);
    if (authorization !== undefined) setHeader(headers, "Authorization", authorization);
    const tls = hasStrayed ? tlsForStranger(base.tls) : base.tls;
    const response = await send({ ...base, target, headers, tls });
    const location = headerOf(response.headers, "location");
    if (request.method === "POST" || location === undefined || !redirects.has(response.status)) {
      return { ...response, hasStrayed };
    }
    response.body.discard();
    target = nextTarget(target, location);
  }
  throw new TransportError("redirect", hostLabel(target), `redirected more than ${maxRedirects} times`);
}

/** Names of headers are the same in any case. */
function setHeader(headers: Map<string, string>, name: string, value: string): void {
  for (const known of headers.keys()) if (known.toLowerCase() === name.toLowerCase()) headers.delete(known);
  headers.set(name, value);
}

function nextTarget(from: Target, location: string): Target {
  const to = resolveLocation(from, location);
  if (from.scheme === "https" && to.scheme === "http") {
    throw new TransportError("redirect", hostLabel(from), "redirects from https to http, which is not followed");
  }
  return to;
}
