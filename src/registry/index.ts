export type { BlobQuery, BlobSink, FetchedBlob } from "./blob-request.ts";
export { anonymous, type Credential, type CredentialOwner } from "./credential.ts";
export { type DockerConfig, parseDockerConfig } from "./credentials/docker-config.ts";
export { credentialsFromSecrets } from "./credentials/secrets.ts";
export type { Repository, Transport } from "./endpoint.ts";
export type { HttpLimits } from "./http/http-types.ts";
export type { ClaimedManifest, FetchedManifest, ManifestQuery } from "./manifest-request.ts";
export { createRegistryClient, type RegistryClient, type RegistryClientOptions } from "./registry-client.ts";
export type { RetryPolicy } from "./retry.ts";
