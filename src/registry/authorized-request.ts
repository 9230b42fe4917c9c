import type { Clock } from "../base/index.ts";
import type { Authorization, Authorizer } from "./auth/authorizer.ts";
import { type Challenge, parseChallenges } from "./auth/challenge.ts";
import { anonymous, type Credential } from "./credential.ts";
import { type Endpoint, endpointWith, pingTargetOf } from "./endpoint.ts";
import type { HttpRequest, HttpResponse } from "./http/http-types.ts";
import { followRedirects } from "./http/redirect.ts";
import { originKey, type Target } from "./http/target.ts";
import { presentable } from "./client-tools.ts";
import { registryNameOf } from "./hosts/registry-names.ts";
import { tlsForStranger } from "./http/tls-settings.ts";
import { StatusError, statusErrorFrom } from "./status-error.ts";

/** One request to a registry. */
export interface RegistryRequest {
  readonly endpoint: Endpoint;
  readonly credential: Credential;
  readonly method: "GET" | "HEAD";
  readonly target: Target;
  readonly headers: ReadonlyMap<string, string>;
  readonly signal?: AbortSignal | undefined;
  /** See `HttpRequest`. */
  readonly patienceMs?: number | undefined;
  readonly takesLong?: boolean | undefined;
  readonly onlyIfFree?: boolean | undefined;
}

/** What requests are sent with. */
export interface RequestTools {
  readonly send: (request: HttpRequest) => Promise<HttpResponse>;
  readonly authorizer: Authorizer;
  readonly clock: Clock;
}

/** What has been shown, and to whom, while one request is being let in. */
interface Progress {
  /** For the registry itself, while the way there has not led through another origin. */
  own: Authorization | undefined;
  /** For those whom it redirects to, by origin. */
  readonly guests: Map<string, Guest>;
  /** Schemes whose fresh answer was refused, by origin. */
  readonly refused: Map<string, Set<string>>;
  hasPinged: boolean;
}

/** What a host that was redirected to may be shown, first the one whose turn it is, and what it was shown last. */
interface Guest {
  readonly credentials: Credential[];
  shown: Authorization | undefined;
}

// Enough for: a stale token, a fresh one, the other scheme, and the same for a host redirected to, with some credentials.
const maxRounds = 12;

/**
 * Sends a request, follows redirects and answers challenges. Resolves with a 2xx answer, its body unread. Rejects with
 * a `StatusError` (its body read), a `TransportError` or the signal's reason.
 */
export async function requestAuthorized(tools: RequestTools, request: RegistryRequest): Promise<HttpResponse> {
  const { endpoint, credential, signal } = request;
  const own = await tools.authorizer.current(endpoint, credential, signal);
  const progress: Progress = { own, guests: new Map(), refused: new Map(), hasPinged: false };
  for (let round = 1; ; round++) {
    const response = await followRedirects(tools.send, {
      method: request.method,
      target: request.target,
      trust: endpoint.trust,
      tls: endpoint.tls,
      headers: request.headers,
      homeHeaders: endpoint.headers,
      connectTimeoutMs: endpoint.connectTimeoutMs,
      signal,
      patienceMs: request.patienceMs,
      takesLong: request.takesLong,
      onlyIfFree: request.onlyIfFree,
      authorizationFor: (target, hasStrayed) =>
        (hasStrayed ? progress.guests.get(originKey(target))?.shown : progress.own)?.value,
    });
    if (response.status >= 200 && response.status < 300) return response;
    const error = await statusErrorFrom(response, response.hasStrayed ? "redirect" : "registry", tools.clock);
    const challenges = parseChallenges(response.headers.get("www-authenticate") ?? []);
    const isNewTryDue = response.hasStrayed
      ? await answerAsGuest({ tools, request, progress, error, challenges }, response.target)
      : await answerAsOwner({ tools, request, progress, error, challenges }, response.target);
    if (!isNewTryDue || round === maxRounds) throw error;
  }
}

interface Refusal {
  readonly tools: RequestTools;
  readonly request: RegistryRequest;
  readonly progress: Progress;
  readonly error: StatusError;
  readonly challenges: readonly Challenge[];
}

/** Gets what the registry asks for; false if there is nothing more to show. */
async function answerAsOwner(refusal: Refusal, asked: Target): Promise<boolean> {
  const { tools, request, progress, error, challenges } = refusal;
  const { endpoint, credential, signal } = request;
  const shown = progress.own;
  if (shown?.isReused && error.mayMeanStale) {
    tools.authorizer.forget(endpoint, credential, shown);
    progress.own = undefined;
    // Without a challenge in hand, the registry is asked once more with nothing, and will say what it wants.
    if (error.status !== 401 || challenges.length === 0) return true;
  }
  if (error.status === 401) {
    const refused = refusedAt(progress, asked);
    if (shown !== undefined && !shown.isReused) refused.add(shown.scheme);
    progress.own = await tools.authorizer.answer({ endpoint, asked }, credential, { challenges, refused, signal });
    return progress.own !== undefined;
  }
  return shown === undefined && error.isRefusal && (await answerPing(refusal));
}

/**
 * Some registries hide from strangers what they would show to those who log in: a 404 without a challenge. Their root
 * tells how to log in (distribution-spec 1.1, "Determining support").
 */
async function answerPing({ tools, request, progress }: Refusal): Promise<boolean> {
  const { endpoint, credential, signal } = request;
  if (credential.kind === "anonymous" || progress.hasPinged) return false;
  progress.hasPinged = true;
  const target = pingTargetOf(endpoint);
  const { trust, tls, headers } = endpoint;
  const response = await tools.send({ method: "GET", target, trust, tls, headers, signal });
  response.body.discard();
  if (response.status !== 401) return false;
  const challenges = parseChallenges(response.headers.get("www-authenticate") ?? []);
  const refused = refusedAt(progress, target);
  progress.own = await tools.authorizer.answer({ endpoint, asked: target }, credential, {
    challenges,
    refused,
    signal,
  });
  return progress.own !== undefined;
}

/**
 * Answers the challenge of a host that was redirected to, with what is configured for that host, else anonymously: with
 * nothing of the registry's.
 */
async function answerAsGuest(refusal: Refusal, asked: Target): Promise<boolean> {
  const { tools, request, progress, error, challenges } = refusal;
  if (error.status !== 401) return false;
  const endpoint = endpointWith({
    ...request.endpoint,
    base: { ...asked, path: request.endpoint.base.path },
    transport: asked.scheme === "http" ? "http" : request.endpoint.trust === "unverified" ? "insecure" : "https",
    tls: tlsForStranger(request.endpoint.tls),
    headers: new Map(),
    isVouched: false,
  });
  const guest = guestAt(progress, endpoint);
  const refused = refusedAt(progress, asked);
  for (let [credential] = guest.credentials; credential !== undefined; [credential] = guest.credentials) {
    const { shown } = guest;
    if (shown?.isReused) tools.authorizer.forget(endpoint, credential, shown);
    else if (shown !== undefined) refused.add(shown.scheme);
    const ask = { challenges, refused, signal: request.signal };
    guest.shown = await tools.authorizer.answer({ endpoint, asked }, credential, ask).catch((failure: unknown) => {
      if (credential.kind === "anonymous" || !(failure instanceof StatusError && failure.isRefusal)) throw failure;
      return undefined;
    });
    if (guest.shown !== undefined) return true;
    guest.credentials.shift();
    refused.clear();
  }
  return false;
}

/** What is known of a host that was redirected to. */
function guestAt(progress: Progress, endpoint: Endpoint): Guest {
  const key = originKey(endpoint.base);
  const known = progress.guests.get(key);
  if (known !== undefined) return known;
  const name = registryNameOf(endpoint.base);
  const meant = endpoint.guests.filter(({ host }) => host === name).map(({ credential }) => credential);
  const guest: Guest = { credentials: [...presentable(endpoint, [...meant, anonymous]).shown], shown: undefined };
  progress.guests.set(key, guest);
  return guest;
}

function refusedAt(progress: Progress, target: Target): Set<string> {
  const key = originKey(target);
  const refused = progress.refused.get(key) ?? new Set<string>();
  progress.refused.set(key, refused);
  return refused;
}
