import { hash } from "node:crypto";
import { type Clock, SingleFlight } from "../../base/index.ts";
import type { Credential } from "../credential.ts";
import type { Endpoint } from "../endpoint.ts";
import { originKey, type Target } from "../http/target.ts";
import { tlsForStranger } from "../http/tls-settings.ts";
import { untilAborted } from "../until-aborted.ts";
import { type AnswerWay, type AskingServer, chooseAnswerWay } from "./answer-way.ts";
import type { Challenge } from "./challenge.ts";
import { basicOf, fetchToken, type Token, type TokenFetcher } from "./token.ts";

/** The value of an Authorization header. */
export interface Authorization {
  readonly value: string;
  readonly scheme: AnswerWay["scheme"];
  /** True if it has been used before: a refusal may only mean that it is stale. */
  readonly isReused: boolean;
}

/** What is known of one repository for one credential. */
interface Known {
  readonly way: AnswerWay;
  readonly token: { readonly value: string; readonly goodUntilMs: number } | undefined;
}

type BearerWay = Extract<AnswerWay, { scheme: "bearer" }>;

const maxKnown = 1024;

/**
 * Answers challenges, and remembers how: per origin, trust, repository and credential. Nothing is sent before a
 * challenge. Tokens are shared by all requests until nine tenths of their life are over, and fetched once for all.
 */
export class Authorizer {
  readonly #fetcher: TokenFetcher;
  readonly #clock: Clock;
  readonly #known = new Map<string, Known>();
  readonly #fetching = new SingleFlight<Token>();

  constructor(fetcher: TokenFetcher) {
    this.#fetcher = fetcher;
    this.#clock = fetcher.clock;
  }

  /** What the server is shown unasked: nothing, until it has asked once. */
  async current(endpoint: Endpoint, credential: Credential, signal?: AbortSignal): Promise<Authorization | undefined> {
    const known = this.#known.size === 0 ? undefined : this.#known.get(keyOf(endpoint, credential));
    if (known === undefined) return undefined;
    return await this.#authorize(endpoint, credential, known.way, signal);
  }

  /**
   * The answer to a 401; undefined if the credential has none. Rejects with a `TransportError` for challenges that
   * nobody could answer, and with what `fetchToken` rejects with.
   */
  async answer(
    server: AskingServer,
    credential: Credential,
    ask: {
      readonly challenges: readonly Challenge[];
      readonly refused: ReadonlySet<string>;
      readonly signal?: AbortSignal | undefined;
    },
  ): Promise<Authorization | undefined> {
    const way = chooseAnswerWay(server, ask.challenges, ask.refused);
    if (way === undefined) return undefined;
    return await this.#authorize(server.endpoint, credential, way, ask.signal);
  }

  /** Drops what was refused, unless it has been replaced meanwhile. */
  forget(endpoint: Endpoint, credential: Credential, refused: Authorization): void {
    const key = keyOf(endpoint, credential);
    const known = this.#known.get(key);
    if (known?.token === undefined || `Bearer ${known.token.value}` === refused.value) this.#known.delete(key);
  }

  async #authorize(
    endpoint: Endpoint,
    credential: Credential,
    way: AnswerWay,
    signal: AbortSignal | undefined,
  ): Promise<Authorization | undefined> {
    const key = keyOf(endpoint, credential);
    const known = this.#known.get(key);
    const isSameWay = known !== undefined && JSON.stringify(known.way) === JSON.stringify(way);
    if (way.scheme === "basic") {
      this.#remember(key, { way, token: undefined });
      const value = basicOf(credential);
      return value === undefined ? undefined : { value, scheme: "basic", isReused: isSameWay };
    }
    if (isSameWay && known.token !== undefined && known.token.goodUntilMs > this.#clock.monotonicMs()) {
      return { value: `Bearer ${known.token.value}`, scheme: "bearer", isReused: true };
    }
    const token = await untilAborted(this.#fetch(key, way, endpoint, credential), signal);
    return { value: `Bearer ${token.value}`, scheme: "bearer", isReused: false };
  }

  #fetch(key: string, way: BearerWay, endpoint: Endpoint, credential: Credential): Promise<Token> {
    const { realm, service, scope } = way;
    return this.#fetching.run(`${key} ${JSON.stringify(way)}`, async () => {
      const askedAtMs = this.#clock.monotonicMs();
      const token = await fetchToken(this.#fetcher, { realm, ...waysTo(realm, endpoint), service, scope, credential });
      this.#remember(key, { way, token: { value: token.value, goodUntilMs: askedAtMs + token.lifetimeMs * 0.9 } });
      return token;
    });
  }

  #remember(key: string, known: Known): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [other, { token, way }] of this.#known) {
      // A token that is of no use any more is not kept in memory; how it is got is.
      if (token !== undefined && token.goodUntilMs <= nowMs) this.#known.set(other, { way, token: undefined });
    }
    this.#known.delete(key);
    this.#known.set(key, known);
    const [oldest] = this.#known.keys();
    if (this.#known.size > maxKnown && oldest !== undefined) this.#known.delete(oldest);
  }
}

/** How a token server is spoken to: as its registry where it is the same host, else with nothing of that one's own. */
function waysTo(realm: Target, { base, trust, tls, headers, isVouched }: Endpoint) {
  const isSameHost = originKey(realm) === originKey(base);
  if (!isSameHost) return { trust, tls: tlsForStranger(tls), homeHeaders: undefined, isVouched: false };
  return { trust, tls, homeHeaders: headers, isVouched };
}

/** One text per origin, trust, repository and credential; of the credential only a hash. */
function keyOf(endpoint: Endpoint, credential: Credential): string {
  const { source: _, ...secret } = credential;
  return `${endpoint.key} ${hash("sha256", JSON.stringify(secret), "base64")}`;
}
