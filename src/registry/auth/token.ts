import type { Clock } from "../../base/index.ts";
import type { Credential } from "../credential.ts";
import type { HttpRequest, HttpResponse, TlsTrust } from "../http/http-types.ts";
import { followRedirects } from "../http/redirect.ts";
import { hostLabel, isLoopback, type Target } from "../http/target.ts";
import type { TlsSettings } from "../http/tls-settings.ts";
import { TransportError } from "../http/transport-error.ts";
import { StatusError, statusErrorFrom } from "../status-error.ts";

/** What a token is asked for. */
export interface TokenRequest {
  readonly realm: Target;
  readonly trust: TlsTrust;
  readonly tls?: TlsSettings | undefined;
  /** What is configured for this host alone. */
  readonly homeHeaders?: ReadonlyMap<string, string> | undefined;
  /** The node's administrator says that this host is reached this way. */
  readonly isVouched?: boolean;
  readonly service: string | undefined;
  /** One or several, separated by blanks. */
  readonly scope: string;
  readonly credential: Credential;
}

/** A token and how long it is good for. */
export interface Token {
  readonly value: string;
  /** Milliseconds from when it was asked for. */
  readonly lifetimeMs: number;
}

/** What fetching needs. */
export interface TokenFetcher {
  readonly send: (request: HttpRequest) => Promise<HttpResponse>;
  readonly clock: Clock;
}

const clientId = "oras-csi";
/** Many are kept. They go into a header, where most servers take 8 to 64 KiB; some token servers give each one twice. */
const maxTokenBytes = 128 * 1024;
/** distribution/distribution, spec/auth/token: a token without `expires_in` is good for a minute. */
const defaultLifetimeSeconds = 60;

/**
 * Fetches a bearer token: by GET with Basic, by POST (OAuth2) with an identity token; where a server refuses one
 * method with a 4xx, by the other one. Rejects with a `StatusError` of the token server or a `TransportError`.
 */
export async function fetchToken(fetcher: TokenFetcher, asked: TokenRequest): Promise<Token> {
  const { credential } = asked;
  const request = { ...asked, trust: trustOf(asked) };
  if (credential.kind === "anonymous") return fetchByGet(fetcher, request);
  const methods = credential.kind === "password" ? [fetchByGet, fetchByPost] : [fetchByPost, fetchByGet];
  const failures: StatusError[] = [];
  for (const fetchBy of methods) {
    try {
      return await fetchBy(fetcher, request);
    } catch (error) {
      if (!(error instanceof StatusError) || error.mayPass) throw error;
      failures.push(error);
    }
  }
  // A refusal tells more than "method not allowed".
  throw failures.find((failure) => failure.isRefusal) ?? failures[0];
}

/**
 * How far the token server is trusted: as its registry, but what belongs to the node goes to other machines over verified
 * TLS only. A registry on this machine may be anybody's, and names whatever token server it likes.
 */
function trustOf({ realm, trust, credential, isVouched }: TokenRequest): TlsTrust {
  if (credential.kind === "anonymous" || credential.owner === "pod" || isLoopback(realm) || isVouched) return trust;
  if (realm.scheme === "https") return "verified";
  throw new TransportError("challenge", hostLabel(realm), "it asks for the node's credentials over plain http");
}

function fetchByGet(fetcher: TokenFetcher, request: TokenRequest): Promise<Token> {
  const { realm, service, scope, credential } = request;
  const query = new URLSearchParams();
  if (service !== undefined) query.set("service", service);
  for (const one of scope.split(" ").filter((text) => text !== "")) query.append("scope", one);
  const joint = realm.path.includes("?") ? "&" : "?";
  const target = { ...realm, path: `${realm.path}${joint}${query}` };
  const authorization = basicOf(credential);
  return read(fetcher, realm, () =>
    followRedirects(fetcher.send, {
      method: "GET",
      target,
      trust: request.trust,
      tls: request.tls,
      headers: new Map([["Accept", "application/json"]]),
      homeHeaders: request.homeHeaders,
      authorizationFor: (_, hasStrayed) => (hasStrayed ? undefined : authorization),
    }),
  );
}

function fetchByPost(fetcher: TokenFetcher, request: TokenRequest): Promise<Token> {
  const { realm, trust, tls, service, scope, credential } = request;
  const form = new URLSearchParams();
  if (credential.kind === "identity-token") {
    form.set("grant_type", "refresh_token");
    form.set("refresh_token", credential.token);
  } else if (credential.kind === "password") {
    form.set("grant_type", "password");
    form.set("username", credential.username);
    form.set("password", credential.password);
  }
  if (service !== undefined) form.set("service", service);
  form.set("client_id", clientId);
  form.set("scope", scope);
  const headers = new Map([
    ...(request.homeHeaders ?? []),
    ["Accept", "application/json"],
    ["Content-Type", "application/x-www-form-urlencoded"],
  ]);
  return read(fetcher, realm, () =>
    fetcher.send({ method: "POST", target: realm, trust, tls, headers, body: form.toString() }),
  );
}

/** The value of an Authorization header for the Basic scheme; undefined for those who have nothing to show. */
export function basicOf(credential: Credential): string | undefined {
  if (credential.kind === "anonymous") return undefined;
  // Docker's convention for an identity token in a password's place.
  const [username, password] =
    credential.kind === "password" ? [credential.username, credential.password] : ["<token>", credential.token];
  return `Basic ${Buffer.from(`${username}:${password}`, "utf8").toString("base64")}`;
}

async function read(fetcher: TokenFetcher, realm: Target, ask: () => Promise<HttpResponse>): Promise<Token> {
  const response = await ask();
  if (response.status !== 200) throw await statusErrorFrom(response, "token server", fetcher.clock);
  const { bytes, whole } = await response.body.readAtMost(maxTokenBytes);
  const token = whole ? parseToken(bytes.toString("utf8")) : undefined;
  if (token === undefined) throw new TransportError("token", hostLabel(realm), "its answer holds no token");
  return token;
}

function parseToken(text: string): Token | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Said by the caller; the text itself may hold a secret.
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { token, access_token, expires_in } = value as Readonly<Record<string, unknown>>;
  const found = [token, access_token].find((one) => typeof one === "string" && one !== "");
  // It becomes part of a header line.
  if (typeof found !== "string" || !/^[\x21-\x7e]+$/.test(found)) return undefined;
  const seconds = typeof expires_in === "number" && expires_in >= 0 ? expires_in : defaultLifetimeSeconds;
  return { value: found, lifetimeMs: seconds * 1000 };
}
