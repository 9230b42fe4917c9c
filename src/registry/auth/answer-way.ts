import type { Endpoint } from "../endpoint.ts";
import { hostLabel, isLoopback, resolveLocation, type Target } from "../http/target.ts";
import { TransportError } from "../http/transport-error.ts";
import type { Challenge } from "./challenge.ts";

/** How a challenge is answered. */
export type AnswerWay =
  | { readonly scheme: "basic" }
  | {
      readonly scheme: "bearer";
      readonly realm: Target;
      readonly service: string | undefined;
      readonly scope: string;
    };

/** A server that asks for credentials. */
export interface AskingServer {
  readonly endpoint: Endpoint;
  /** The URL that was answered with 401: relative realms are read against it. */
  readonly asked: Target;
}

/**
 * Chooses among the challenges of a 401: Bearer before Basic, others skipped, none of the schemes that were refused
 * before. Undefined if nothing is asked for, or nothing is left. Throws a `TransportError` ("challenge") if none of
 * those asked for can be answered at all.
 */
export function chooseAnswerWay(
  server: AskingServer,
  challenges: readonly Challenge[],
  refused: ReadonlySet<string>,
): AnswerWay | undefined {
  const problems: string[] = [];
  for (const challenge of challenges.filter(({ scheme }) => scheme === "bearer")) {
    const realm = realmOf(server, challenge);
    if (typeof realm === "string") problems.push(realm);
    else if (!refused.has("bearer")) return bearerWay(server, challenge, realm);
    else return basicWay(challenges, refused);
  }
  const basic = basicWay(challenges, refused);
  if (basic !== undefined || refused.size > 0 || challenges.length === 0) return basic;
  const others = challenges.filter(({ scheme }) => scheme !== "bearer").map(describe);
  const host = hostLabel(server.asked);
  throw new TransportError(
    "challenge",
    host,
    `it asks for what cannot be answered: ${[...problems, ...others].join(", ")}`,
  );
}

function basicWay(challenges: readonly Challenge[], refused: ReadonlySet<string>): AnswerWay | undefined {
  const isAsked = challenges.some(({ scheme }) => scheme === "basic");
  return isAsked && !refused.has("basic") ? { scheme: "basic" } : undefined;
}

function bearerWay({ endpoint }: AskingServer, { parameters }: Challenge, realm: Target): AnswerWay {
  const scope = parameters.get("scope")?.trim() ?? "";
  return {
    scheme: "bearer",
    realm,
    service: parameters.get("service"),
    scope: scope === "" ? `repository:${endpoint.repository}:pull` : scope,
  };
}

/** Where the token server is, or what is wrong with it. */
function realmOf({ endpoint, asked }: AskingServer, { parameters }: Challenge): Target | string {
  const realm = parameters.get("realm")?.trim() ?? "";
  // A relative realm must look like a path: `realm="Our Registry"` names nothing that can be asked.
  if (!/^[^\s/]*\/\S*$/.test(realm)) return noAddress(realm);
  let target: Target;
  try {
    target = resolveLocation(asked, realm);
  } catch (error) {
    if (error instanceof TransportError) return noAddress(realm);
    throw error;
  }
  // The realm is shown the credentials: nobody else may read along.
  const staysHere = isLoopback(endpoint.base) && isLoopback(target);
  if (target.scheme === "https" || endpoint.transport === "http" || staysHere) return target;
  return `Bearer at ${hostLabel(target)} over plain http`;
}

function noAddress(realm: string): string {
  const host = hostIn(realm);
  return host === undefined ? "Bearer with a realm that is no address" : `Bearer at ${host}, which is no http address`;
}

function describe({ scheme, parameters }: Challenge): string {
  const host = hostIn(parameters.get("realm") ?? "");
  const name = scheme.charAt(0).toUpperCase() + scheme.slice(1, 40);
  return host === undefined ? name : `${name} at ${host}`;
}

/** Whose URL a realm is, whatever its scheme; without its user. */
function hostIn(realm: string): string | undefined {
  const host = /^[a-z][a-z0-9+.-]*:\/\/([^/?#\s]+)/i.exec(realm)?.[1];
  return host?.slice(host.lastIndexOf("@") + 1).slice(0, 100);
}
