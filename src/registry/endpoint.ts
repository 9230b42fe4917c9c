import { DriverError } from "../base/index.ts";
import type { TlsTrust } from "./http/http-types.ts";
import { isLoopback, parseTarget, type Target } from "./http/target.ts";

/** How a registry is spoken to: verified TLS, TLS without verification, or plain http. */
export type Transport = "https" | "insecure" | "http";

/** A repository, and how its registry is reached. */
export interface Repository {
  /** As in a normalised reference: `docker.io`, `ghcr.io`, `localhost:5000`. */
  readonly registry: string;
  readonly repository: string;
  readonly transport: Transport;
}

/** The API of a registry: where its `/v2` is, and whether its certificate counts. */
export interface Endpoint {
  /** Path: `/v2/<repository>`, to which `/manifests/...` and `/blobs/...` are added. */
  readonly base: Target;
  readonly trust: TlsTrust;
  readonly transport: Transport;
  readonly repository: string;
}

/** Where a repository's API is. Docker Hub's has a host name of its own. */
export function endpointOf({ registry, repository, transport }: Repository): Endpoint {
  const host = registry === "docker.io" ? "registry-1.docker.io" : registry;
  const base = parseTarget(`${transport === "http" ? "http" : "https"}://${host}/v2/${repository}`);
  if (base === undefined) throw new DriverError("bad-input", `registry ${JSON.stringify(registry)} is no host name`);
  return { base, transport, repository, trust: transport === "insecure" ? "unverified" : "verified" };
}

/** The endpoint's target for a path below the repository. */
export function targetIn(endpoint: Endpoint, path: string): Target {
  return { ...endpoint.base, path: endpoint.base.path + path };
}

/** True if what belongs to the node may be shown there (contract.md, Credentials). */
export function isSafeForNodeCredentials(endpoint: Endpoint): boolean {
  return endpoint.transport === "https" || isLoopback(endpoint.base);
}
