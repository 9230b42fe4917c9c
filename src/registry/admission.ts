import { DriverError } from "../base/index.ts";
import { presentable } from "./client-tools.ts";
import type { Credential, CredentialOffer, DeferredCredential, Unveil, UnveiledCredential } from "./credential.ts";
import type { Endpoint } from "./endpoint.ts";
import { StatusError } from "./status-error.ts";

/** Nothing that was shown to a host was let in. */
export class NotLetIn extends Error {
  /** The host's answer to the first credential. */
  readonly first: StatusError;
  /** What was tried or withheld, in order, and what became of credentials that had to be fetched. */
  readonly tried: readonly string[];

  constructor(first: StatusError, tried: readonly string[]) {
    super(first.message, { cause: first });
    this.first = first;
    this.tried = tried;
  }
}

/** Enough for any message; kubelet shows 1,000 characters. */
const maxToldAttempts = 8;

/**
 * Finds out which of the credentials on offer opens a host, and remembers it: the first request tries them in order,
 * later ones begin with what was let in. One for each pull, whose offers stay the same.
 */
export class Admission {
  readonly #unveil: Unveil | undefined;
  readonly #letIn = new Map<string, Credential>();

  constructor(unveil?: Unveil) {
    this.#unveil = unveil;
  }

  /**
   * Runs `request` with each credential until one is let in. Rejects with `NotLetIn` if none is, and with whatever else
   * a request rejects with (401, 403 and 404 of the host are refusals, also as the cause of a `DriverError`).
   */
  async enter<T>(
    endpoint: Endpoint,
    offers: readonly CredentialOffer[],
    request: (credential: Credential) => Promise<T>,
  ): Promise<T> {
    const round = new Round(request);
    const { key } = endpoint;
    const known = this.#letIn.get(key);
    this.#letIn.delete(key);
    const { shown, withheld } = presentable(endpoint, offers);
    const isReused = shown.some((offer) => offer.kind === "deferred" && offer.source === known?.source);
    if (known === undefined || !(await round.passes(known, isReused))) {
      for (const offer of shown) {
        const isIn =
          offer.kind === "deferred"
            ? await this.#passesDeferred(round, offer)
            : offer !== known && (await round.passes(offer));
        if (isIn) break;
      }
    }
    return round.outcome(withheld, (credential) => this.#letIn.set(key, credential));
  }

  async #passesDeferred(round: Round<unknown>, offer: DeferredCredential): Promise<boolean> {
    const found = await this.#unveiled(offer, false);
    round.note(offer.source, found);
    if (await round.passesOne(found.credentials, found.isReused)) return true;
    if (!found.isReused) return false;
    // They may only have grown old.
    const fresh = await this.#unveiled(offer, true);
    if (fresh.problem !== undefined) round.note(offer.source, fresh);
    return await round.passesOne(fresh.credentials);
  }

  async #unveiled(offer: DeferredCredential, isFresh: boolean): Promise<UnveiledCredential> {
    const nobody = { credentials: [], isReused: false, problem: undefined };
    return this.#unveil === undefined ? nobody : await this.#unveil(offer, isFresh);
  }
}

/** The tries of one request. */
class Round<T> {
  readonly #request: (credential: Credential) => Promise<T>;
  readonly #told: string[] = [];
  readonly #tried: Credential[] = [];
  #first: StatusError | undefined;
  #done: { readonly value: T; readonly credential: Credential } | undefined;

  constructor(request: (credential: Credential) => Promise<T>) {
    this.#request = request;
  }

  /** True if the credential is let in. Of one that may have grown old, any 4xx is a refusal. */
  async passes(credential: Credential, isReused = false): Promise<boolean> {
    this.#tried.push(credential);
    this.#tell(credential.source);
    try {
      this.#done = { value: await this.#request(credential), credential };
      return true;
    } catch (error) {
      const refusal = refusalIn(error, isReused);
      if (refusal === undefined) throw error;
      this.#first ??= refusal;
      return false;
    }
  }

  /** True if one of them is let in; those that were refused before are not shown again. */
  async passesOne(credentials: readonly Credential[], isReused = false): Promise<boolean> {
    for (const credential of credentials) {
      const secret = secretOf(credential);
      const wasTried = this.#tried.some((other) => secretOf(other) === secret);
      if (!wasTried && (await this.passes(credential, isReused))) return true;
    }
    return false;
  }

  /** What became of a credential that had to be fetched first, where there is something to say. */
  note(source: string, { credentials, problem }: UnveiledCredential): void {
    if (problem !== undefined) this.#tell(`${source} (${problem})`);
    else if (credentials.length === 0) this.#tell(`${source} (has none for it)`);
  }

  outcome(withheld: readonly string[], onLetIn: (credential: Credential) => void): T {
    if (this.#done !== undefined) {
      onLetIn(this.#done.credential);
      return this.#done.value;
    }
    if (this.#first === undefined) throw new Error("nothing was tried");
    throw new NotLetIn(this.#first, [...this.#told, ...withheld].slice(0, maxToldAttempts));
  }

  #tell(what: string): void {
    if (!this.#told.includes(what)) this.#told.push(what);
  }
}

function refusalIn(error: unknown, isReused: boolean): StatusError | undefined {
  const reason = error instanceof DriverError ? error.cause : error;
  if (!(reason instanceof StatusError)) return undefined;
  return reason.isRefusal || (isReused && reason.mayMeanStale) ? reason : undefined;
}

function secretOf({ source: _, ...secret }: Credential): string {
  return JSON.stringify(secret);
}
