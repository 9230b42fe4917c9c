import { DriverError, type ErrorKind } from "../base/index.ts";
import type { Admission } from "./admission.ts";
import type { Asker } from "./client-tools.ts";
import type { CredentialOffer } from "./credential.ts";
import { type Endpoint, endpointAt, type Repository } from "./endpoint.ts";
import type { HostRest } from "./host-rest.ts";
import type { HostAccess, HostCapability, HostKind } from "./hosts/registry-host.ts";
import { hostLabel } from "./http/target.ts";
import type { KnownEndpoints } from "./known-endpoints.ts";

/** A repository, the hosts that answer for it, and what they may be shown. */
export interface HostsQuery extends Asker {
  readonly repository: Repository;
  /** In the order they are tried; without any, only the registry itself is asked. */
  readonly hosts?: readonly HostAccess[] | undefined;
  /** For the registry itself, where `hosts` does not say. */
  readonly credentials?: readonly CredentialOffer[] | undefined;
  /** What was let in before; it lasts as long as one pull. */
  readonly admission?: Admission | undefined;
  /** Told of each host that did not serve while others are still to be asked. */
  readonly onHostFailed?: ((failure: HostFailure) => void) | undefined;
}

/** A host that could not serve a request. No secrets in it. */
export interface HostFailure {
  readonly registry: string;
  readonly host: string;
  readonly kind: HostKind;
  readonly result: ErrorKind;
  readonly reason: string;
}

/** One host to be asked. */
export interface AskedHost {
  readonly endpoint: Endpoint;
  readonly credentials: readonly CredentialOffer[];
  /** Why it cannot be asked. */
  readonly problem: string | undefined;
}

// What another host may answer otherwise: also bytes that are wrong, or too many.
const worthAnother: ReadonlySet<ErrorKind> = new Set([
  "not-found",
  "unauthenticated",
  "forbidden",
  "unavailable",
  "corrupt",
  "refused",
]);
// What says that the host is no good, rather than that it does not have this.
const faults: ReadonlySet<ErrorKind> = new Set(["unavailable", "corrupt", "refused"]);

/** What is known of hosts. */
export interface HostKnowledge {
  readonly rest: HostRest;
  readonly endpoints: KnownEndpoints;
}

/** The hosts that may be asked, those that failed of late last. */
export function hostsFor(query: HostsQuery, needs: HostCapability, { rest, endpoints }: HostKnowledge): AskedHost[] {
  const { repository, hosts, credentials = [] } = query;
  if (hosts === undefined) return [{ endpoint: endpoints.of(repository), credentials, problem: undefined }];
  const able = hosts
    .filter(({ capabilities }) => capabilities.includes(needs))
    .map((host) => ({ ...host, endpoint: endpointAt(repository, host) }));
  const isResting = able.map(({ endpoint }) => rest.isResting(endpoint));
  return [...able.filter((_, i) => !isResting[i]), ...able.filter((_, i) => isResting[i])];
}

/**
 * Asks one host after the other until one serves, each once. Rejects with the registry's own answer, if it was asked,
 * else with the last one, which also tells what became of the others; with the signal's reason; and at once with what no
 * other host could do better.
 */
export async function askHosts<T>(
  query: HostsQuery,
  { needs, tools }: { readonly needs: HostCapability; readonly tools: HostKnowledge },
  ask: (host: AskedHost) => Promise<T>,
): Promise<T> {
  const { rest } = tools;
  const asked = hostsFor(query, needs, tools);
  const failures: { readonly host: AskedHost; readonly error: DriverError }[] = [];
  for (const host of asked) {
    try {
      requireUsable(host, query);
      const answer = await ask(host);
      rest.served(host.endpoint);
      return answer;
    } catch (error) {
      query.signal?.throwIfAborted();
      if (!(error instanceof DriverError) || !worthAnother.has(error.kind)) throw error;
      if (faults.has(error.kind)) rest.failed(host.endpoint);
      failures.push({ host, error });
      if (asked.length > 1) query.onHostFailed?.(failureOf(query, host, error));
    }
  }
  const last = failures.find(({ host }) => host.endpoint.kind === "origin") ?? failures.at(-1);
  if (last === undefined) throw nobody(query, needs);
  const others = failures.filter((one) => one !== last);
  if (others.length === 0) throw last.error;
  const told = others.map(({ host, error }) => `${hostLabel(host.endpoint.base)}: ${reasonOf(error)}`);
  throw new DriverError(
    last.error.kind,
    `${last.error.message} (other hosts: ${shorten(told.join("; "), 250)})`,
    last.error,
  );
}

function requireUsable({ endpoint, problem }: AskedHost, { repository }: HostsQuery): void {
  if (problem === undefined) return;
  const who = `${hostLabel(endpoint.base)} for ${repository.registry}/${repository.repository}`;
  throw new DriverError("unavailable", `cannot ask ${who}: the node's hosts.toml is not right: ${problem}`);
}

function failureOf({ repository }: HostsQuery, { endpoint }: AskedHost, error: DriverError): HostFailure {
  const { kind, base } = endpoint;
  const reason = reasonOf(error);
  return { registry: repository.registry, host: hostLabel(base), kind, result: error.kind, reason };
}

/** What happened, without what was wanted and what to do: the status or fault, or for wrong bytes what is wrong. */
function reasonOf(error: DriverError): string {
  if (error.cause instanceof Error && !(error.cause instanceof DriverError)) return error.cause.message;
  return error.message.replace(/^cannot .*? from \S+: /s, "");
}

function nobody({ repository }: HostsQuery, needs: HostCapability): DriverError {
  const what = needs === "resolve" ? "what a tag is" : "manifests and blobs";
  const fix = `add ${needs} to the capabilities of a host`;
  const message = `no host in the hosts.toml of ${repository.registry} may be asked for ${what}: ${fix}`;
  return new DriverError("unavailable", message);
}

function shorten(text: string, maxLength: number): string {
  return text.length > maxLength ? `${text.slice(0, maxLength - 1)}…` : text;
}
