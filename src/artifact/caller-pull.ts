import type { Platform, Reference } from "../oci/index.ts";
import type { Credential, HostAccess, Transport } from "../registry/index.ts";
import type { CredentialFinder } from "./credential-finder.ts";
import type { ResolveRequest } from "./resolver.ts";

/** What somebody who is no volume wants made present, all layers of it, and what is to be used for that. */
export interface CallerPull {
  readonly reference: Reference;
  readonly transport: Transport;
  readonly platform: Platform;
  /** Blobs at once. */
  readonly concurrency: number;
  /** For the registry itself, in the order they are tried. */
  readonly credentials: readonly Credential[];
  /** Roots beside the built-in ones and the node's, PEM. */
  readonly caCertificates: readonly string[];
}

/**
 * How the reference of such a request is resolved: through the node's mirrors, which speak for the registry, while the
 * registry itself is shown nothing but what the caller brought. Rejects as `CredentialFinder.find` does.
 */
export async function resolveForCaller(
  { reference, transport, platform, credentials, caCertificates }: CallerPull,
  ofNode: Pick<CredentialFinder, "find">,
): Promise<ResolveRequest> {
  const { registry, repository } = reference;
  const found = await ofNode.find(reference, {});
  const asCaller = (host: HostAccess) =>
    host.kind === "origin" || host.root === undefined ? { ...host, credentials, guests: [] } : host;
  return {
    reference,
    repository: { registry, repository, transport },
    namespace: undefined,
    policy: "Always",
    platform,
    credentials,
    hosts: found.hosts?.map(asCaller),
    caCertificates: [...found.caCertificates, ...caCertificates],
  };
}
