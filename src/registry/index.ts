export { Admission } from "./admission.ts";
export { BlobProgress, type ReadBack } from "./blob-progress.ts";
export type { BlobQuery, BlobSink, FetchedBlob } from "./blob-query.ts";
export { parseCaCertificates } from "./ca-certificates.ts";
export {
  anonymous,
  type Credential,
  type CredentialOffer,
  type CredentialOwner,
  type DeferredCredential,
  type Unveil,
  type UnveiledCredential,
} from "./credential.ts";
export { type DockerConfig, parseDockerConfig } from "./credentials/docker-config.ts";
export { NodeCredentials } from "./credentials/node-credentials.ts";
export { credentialsFromSecrets, guestsFromSecrets } from "./credentials/secrets.ts";
export type { Repository, Transport } from "./endpoint.ts";
export type { HostFailure } from "./first-host.ts";
export type { HostedBlobQuery } from "./hosted-blob.ts";
export type { GuestCredential, HostAccess, HostKind, RegistryHost } from "./hosts/registry-host.ts";
export { registryNameOf } from "./hosts/registry-names.ts";
export { RegistryHosts } from "./hosts/registry-hosts.ts";
export type { HttpLimits } from "./http/http-types.ts";
export type { ClaimedManifest, FetchedManifest, ManifestQuery } from "./manifest-request.ts";
export { onceMoreIfCorrupt } from "./once-more.ts";
export { createRegistryClient, type RegistryClient, type RegistryClientOptions } from "./registry-client.ts";
export type { RetryPolicy } from "./retry.ts";
export { untilAborted } from "./until-aborted.ts";
