import type { Logger } from "../base/index.ts";
import type { RequestTools } from "./authorized-request.ts";
import { anonymous, type Credential } from "./credential.ts";
import { type Endpoint, isSafeForNodeCredentials } from "./endpoint.ts";
import { Retrier, type RetryPolicy } from "./retry.ts";

/** What the operations of a client share. */
export interface ClientTools extends RequestTools {
  readonly log: Logger;
  readonly retryPolicy: RetryPolicy;
}

/** A fresh count of tries. */
export function createRetrier(tools: ClientTools, signal: AbortSignal | undefined): Retrier {
  return new Retrier({ clock: tools.clock, policy: tools.retryPolicy, log: tools.log, signal });
}

/** Which credentials may be shown to an endpoint, in order; `withheld` names the others and why, for messages. */
export function presentable(
  endpoint: Endpoint,
  credentials: readonly Credential[],
): { readonly shown: readonly Credential[]; readonly withheld: readonly string[] } {
  const isSafe = isSafeForNodeCredentials(endpoint);
  const isShown = (one: Credential) => isSafe || one.kind === "anonymous" || one.owner === "pod";
  const shown = credentials.filter(isShown);
  const how = endpoint.transport === "http" ? "plain http" : "unverified TLS";
  const withheld = credentials.filter((one) => !isShown(one)).map(({ source }) => `${source} (not shown over ${how})`);
  return { shown: shown.length === 0 ? [anonymous] : shown, withheld };
}
