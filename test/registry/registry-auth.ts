import { randomUUID } from "node:crypto";

/** A user of an embedded registry. Everybody who is known may push; what they may pull can be narrowed, also later on. */
export interface RegistryUser {
  readonly password: string;
  /** The repositories that this user may pull; all when left out. */
  readonly pull?: readonly string[];
  /** A refresh token that the token endpoint's POST takes, docker config's `identitytoken`. */
  readonly identityToken?: string;
}

/** How an embedded registry asks who is there. `users` is read at each request, so a test may change it on the way. */
export type RegistryAuth =
  | { readonly kind: "none" }
  | { readonly kind: "basic"; readonly users: Record<string, RegistryUser> }
  | {
      readonly kind: "bearer";
      readonly users: Record<string, RegistryUser>;
      /** Repositories that anybody may pull with an anonymous token. */
      readonly anonymousPull?: readonly string[];
      /** What the token endpoint answers to; both when left out. Another method gets 404. */
      readonly tokenMethods?: readonly ("GET" | "POST")[];
      readonly tokenLifetimeSeconds?: number;
    };

/** What somebody wants to do. An empty repository stands for `/v2/` itself. */
export interface AccessRequest {
  readonly repository: string;
  readonly action: "pull" | "push";
}

/** A refusal as the registry sends it. */
export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly challenge?: string;
}

/** What the token endpoint answers. */
export interface TokenAnswer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

interface Token {
  readonly granted: ReadonlySet<string>;
  readonly expiresAtMs: number;
}

/** The doorkeeper of an embedded registry: Basic passwords, or Bearer tokens from its own token endpoint. */
export class RegistryDoor {
  readonly #auth: RegistryAuth;
  readonly #tokens = new Map<string, Token>();

  constructor(auth: RegistryAuth) {
    this.#auth = auth;
  }

  /** Undefined when the request may go on. `origin` is this registry's own URL, which the Bearer realm lies below. */
  refuse(authorization: string | undefined, wanted: AccessRequest, origin: string): Refusal | undefined {
    if (this.#auth.kind === "none") return undefined;
    if (this.#auth.kind === "basic") return this.#refuseBasic(authorization, wanted);
    return this.#refuseBearer(authorization, wanted, origin);
  }

  /** Forgets all tokens that were given out, as a registry that lost its keys. */
  revokeTokens(): void {
    this.#tokens.clear();
  }

  /** Answers the token endpoint: GET with a query and Basic credentials or none, POST with an OAuth 2 form. */
  answerToken(method: string, parameters: URLSearchParams, authorization: string | undefined): TokenAnswer {
    if (this.#auth.kind !== "bearer") return { status: 404, body: {} };
    if (!(this.#auth.tokenMethods ?? ["GET", "POST"]).some((known) => known === method)) {
      return { status: 404, body: {} };
    }
    const user = method === "GET" ? this.#userFromBasic(authorization) : this.#userFromForm(parameters);
    if (user === "wrong") return { status: 401, body: { errors: [{ code: "UNAUTHORIZED", message: "who is that?" }] } };
    const scopes = parameters.getAll("scope").flatMap((scope) => scope.split(" "));
    const token = `embedded-token-${randomUUID()}`;
    const lifetimeSeconds = this.#auth.tokenLifetimeSeconds ?? 300;
    this.#tokens.set(token, {
      granted: new Set(scopes.flatMap((scope) => this.#grant(user, scope))),
      expiresAtMs: Date.now() + lifetimeSeconds * 1000,
    });
    const name = method === "GET" ? "token" : "access_token";
    return { status: 200, body: { [name]: token, expires_in: lifetimeSeconds } };
  }

  #refuseBasic(authorization: string | undefined, wanted: AccessRequest): Refusal | undefined {
    const user = this.#userFromBasic(authorization);
    const challenge = 'Basic realm="embedded registry"';
    if (user === undefined || user === "wrong") return { status: 401, code: "UNAUTHORIZED", challenge };
    return mayPull(user, wanted) ? undefined : { status: 403, code: "DENIED" };
  }

  #refuseBearer(authorization: string | undefined, wanted: AccessRequest, origin: string): Refusal | undefined {
    const token = this.#tokens.get(authorization?.replace(/^Bearer /i, "") ?? "");
    const alive = token !== undefined && token.expiresAtMs > Date.now();
    const needed = `${wanted.repository}:${wanted.action}`;
    if (alive && (wanted.repository === "" || token.granted.has(needed))) return undefined;
    const scope = wanted.repository === "" ? "" : `,scope="repository:${wanted.repository}:${scopeActions(wanted)}"`;
    const reason = alive ? ',error="insufficient_scope"' : "";
    return {
      status: 401,
      code: alive ? "DENIED" : "UNAUTHORIZED",
      challenge: `Bearer realm="${origin}/token",service="embedded"${scope}${reason}`,
    };
  }

  #userFromBasic(authorization: string | undefined): RegistryUser | "wrong" | undefined {
    if (authorization === undefined) return undefined;
    const [, encoded] = /^Basic (.*)$/i.exec(authorization) ?? [];
    const [, name = "", password = ""] = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded ?? "", "base64").toString()) ?? [];
    return this.#userByPassword(name, password);
  }

  #userFromForm(form: URLSearchParams): RegistryUser | "wrong" | undefined {
    if (form.get("grant_type") !== "refresh_token") {
      return this.#userByPassword(form.get("username") ?? "", form.get("password") ?? "");
    }
    const refreshToken = form.get("refresh_token");
    return Object.values(this.#users()).find((user) => user.identityToken === refreshToken) ?? "wrong";
  }

  #userByPassword(name: string, password: string): RegistryUser | "wrong" {
    const user = this.#users()[name];
    return user !== undefined && user.password === password ? user : "wrong";
  }

  #users(): Record<string, RegistryUser> {
    return this.#auth.kind === "none" ? {} : this.#auth.users;
  }

  #grant(user: RegistryUser | undefined, scope: string): string[] {
    const [, repository = "", actions = ""] = /^repository:(.+):([^:]+)$/.exec(scope) ?? [];
    return actions
      .split(",")
      .filter((action) => {
        if (user !== undefined) return action === "push" || mayPull(user, { repository, action: "pull" });
        const open = this.#auth.kind === "bearer" ? (this.#auth.anonymousPull ?? []) : [];
        return action === "pull" && open.includes(repository);
      })
      .map((action) => `${repository}:${action}`);
  }
}

function mayPull(user: RegistryUser, wanted: AccessRequest): boolean {
  if (wanted.action === "push" || wanted.repository === "" || user.pull === undefined) return true;
  return user.pull.includes(wanted.repository);
}

function scopeActions(wanted: AccessRequest): string {
  return wanted.action === "push" ? "pull,push" : "pull";
}
