import { DriverError, type Logger, type Semaphore } from "../base/index.ts";
import type { RequestTools } from "./authorized-request.ts";
import { anonymous, type CredentialOffer } from "./credential.ts";
import { type Endpoint, isSafeForNodeCredentials } from "./endpoint.ts";
import { failureFrom, type Purpose } from "./failure.ts";
import type { HostKnowledge } from "./first-host.ts";
import type { LargeManifests } from "./large-manifests.ts";
import { Retrier, type RetryPolicy } from "./retry.ts";

/** What the operations of a client share. */
export interface ClientTools extends RequestTools, HostKnowledge {
  readonly log: Logger;
  readonly retryPolicy: RetryPolicy;
  /** The share of the time in which this thread was busy, since it was asked last. */
  readonly threadLoad: () => number;
  readonly largeManifests: LargeManifests;
  /** Held by blobs that come encoded: hosts take turns. */
  readonly decoding: Semaphore;
}

/** Who asks, and who is told how it goes. */
export interface Asker {
  readonly signal?: AbortSignal | undefined;
  /** Told what a failed try would say if it were the last one. */
  readonly onFailedTry?: ((message: string) => void) | undefined;
}

/** Whose turn it is to take bytes: one that waits for them lets others go first. */
export interface Turn {
  /** Nothing comes now: the registry has not answered yet, or is asked again later. */
  idle(waitsFor: "answer" | "pause"): void;
  /** Something is about to come: resolves when it may. */
  busy(): Promise<void>;
}

/** A fresh count of tries for one purpose. */
export function createRetrier(tools: ClientTools, asker: Asker, purpose: Purpose): Retrier {
  const { clock, log, retryPolicy: policy } = tools;
  const onFailedTry = (error: unknown) => {
    const failure = failureFrom(error, purpose, clock);
    if (failure instanceof DriverError) asker.onFailedTry?.(failure.message);
  };
  return new Retrier({ clock, policy, log, signal: asker.signal, onFailedTry });
}

/** Which credentials may be shown to an endpoint, in order; `withheld` names the others and why, for messages. */
export function presentable<Offer extends CredentialOffer>(
  endpoint: Endpoint,
  credentials: readonly Offer[],
): { readonly shown: readonly (Offer | typeof anonymous)[]; readonly withheld: readonly string[] } {
  const isSafe = isSafeForNodeCredentials(endpoint);
  const isShown = (one: Offer) => isSafe || one.kind === "anonymous" || one.owner === "pod";
  if (credentials.length > 0 && credentials.every(isShown)) return { shown: credentials, withheld: [] };
  const shown = credentials.filter(isShown);
  const how = endpoint.transport === "http" ? "plain http" : "unverified TLS";
  const withheld = credentials.filter((one) => !isShown(one)).map(({ source }) => `${source} (not shown over ${how})`);
  return { shown: shown.length === 0 ? [anonymous] : shown, withheld };
}
