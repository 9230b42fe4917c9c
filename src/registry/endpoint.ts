import { hash } from "node:crypto";
import { DriverError } from "../base/index.ts";
import type { GuestCredential, HostAccess, HostKind, RegistryHost } from "./hosts/registry-host.ts";
import { apiHostOf, isHostOfRegistry } from "./hosts/registry-names.ts";
import type { TlsTrust } from "./http/http-types.ts";
import { isLoopback, originKey, parseTarget, type Target } from "./http/target.ts";
import type { TlsSettings } from "./http/tls-settings.ts";

/** How a registry is spoken to: verified TLS, TLS without verification, or plain http. */
export type Transport = "https" | "insecure" | "http";

/** A repository, and how its registry is reached. */
export interface Repository {
  /** As in a normalised reference: `docker.io`, `ghcr.io`, `localhost:5000`. */
  readonly registry: string;
  readonly repository: string;
  readonly transport: Transport;
}

/** What an endpoint is made of. */
export interface EndpointFacts {
  readonly kind: HostKind;
  /** Path: `/v2/<repository>`, to which `/manifests/...` and `/blobs/...` are added. */
  readonly base: Target;
  /** The path of the API itself: `/v2`. */
  readonly rootPath: string;
  readonly trust: TlsTrust;
  readonly transport: Transport;
  readonly repository: string;
  readonly tls: TlsSettings | undefined;
  /** Sent with every request to this host, and to no other. */
  readonly headers: ReadonlyMap<string, string>;
  /** What a host that is not the registry itself is told of whom it answers for, containerd's `ns`. */
  readonly namespace: string | undefined;
  /** True if the node's administrator says that it is reached this way, even if that is not verified TLS. */
  readonly isVouched: boolean;
  readonly connectTimeoutMs: number | undefined;
  /** For hosts that it redirects to. */
  readonly guests: readonly GuestCredential[];
}

/** The API of a host that answers for a repository: where its `/v2` is, and whether its certificate counts. */
export interface Endpoint extends EndpointFacts {
  /** One text per host of a registry, for maps: one machine may be a mirror of several, told apart by path, `ns` or header. */
  readonly hostKey: string;
  /** One text per repository at a host. */
  readonly key: string;
}

/** The endpoint that has these facts. */
export function endpointWith(facts: EndpointFacts): Endpoint {
  const { trust, base, rootPath, namespace, headers } = facts;
  const way = JSON.stringify([rootPath, namespace ?? "", ...headers]);
  const hostKey = `${trust} ${originKey(base)} ${hash("sha256", way, "base64")}`;
  return { ...facts, hostKey, key: `${hostKey} ${facts.repository}` };
}

/** Where a repository's API is when nothing more is known than its name. Docker Hub's has a host name of its own. */
export function endpointOf({ registry, repository, transport }: Repository): Endpoint {
  const root = parseTarget(`${transport === "http" ? "http" : "https"}://${apiHostOf(registry)}/v2`);
  if (root === undefined) throw new DriverError("bad-input", `registry ${JSON.stringify(registry)} is no host name`);
  return endpointWith({
    kind: "origin",
    base: { ...root, path: `${root.path}/${repository}` },
    rootPath: root.path,
    trust: transport === "insecure" ? "unverified" : "verified",
    transport,
    repository,
    tls: undefined,
    headers: new Map(),
    namespace: undefined,
    isVouched: false,
    connectTimeoutMs: undefined,
    guests: [],
  });
}

/** Where a repository's API is at one of its registry's hosts. */
export function endpointAt(repository: Repository, host: RegistryHost & Partial<HostAccess>): Endpoint {
  const own = endpointOf(repository);
  const { kind, root, connectTimeoutMs, guests = [] } = host;
  // What a volume says of its registry counts for that one only. Then nothing goes there that the node's own way was
  // meant to protect: headers may be secret, and a certificate shows who the node is.
  if (kind === "origin" && repository.transport !== "https") return { ...own, connectTimeoutMs, guests };
  const { path: rootPath, ...origin } = root ?? { ...own.base, path: own.rootPath };
  const trust = host.trust ?? "verified";
  return endpointWith({
    kind,
    base: { ...origin, path: `${rootPath}/${repository.repository}` },
    rootPath,
    trust,
    transport: origin.scheme === "http" ? "http" : trust === "unverified" ? "insecure" : "https",
    repository: repository.repository,
    tls: host.tls,
    headers: new Map(Object.entries(host.headers)),
    namespace: isHostOfRegistry(origin, repository.registry) ? undefined : repository.registry,
    isVouched: true,
    connectTimeoutMs,
    guests,
  });
}

/** The endpoint's target for a path below the repository. */
export function targetIn({ base, namespace }: Endpoint, path: string): Target {
  const query = namespace === undefined ? "" : `?ns=${encodeURIComponent(namespace)}`;
  return { ...base, path: base.path + path + query };
}

/** Where a registry tells how to log in: the root of its API. */
export function pingTargetOf(endpoint: Endpoint): Target {
  return targetIn({ ...endpoint, base: { ...endpoint.base, path: endpoint.rootPath } }, "/");
}

/** True if what belongs to the node may be shown there (contract.md, Credentials). */
export function isSafeForNodeCredentials(endpoint: Endpoint): boolean {
  return endpoint.transport === "https" || endpoint.isVouched || isLoopback(endpoint.base);
}
