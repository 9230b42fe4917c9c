export {
  artifact,
  type BuiltLayer,
  type BuiltManifest,
  type BuiltPlatform,
  configuredArtifact,
  fileLayer,
  image,
  index,
  layer,
  rawManifest,
  TITLE,
} from "./artifact-builder.ts";
export { type Certificates, createCertificates } from "./certificates.ts";
export { DOCKER_REGISTRY_USER, DockerRegistry, type DockerRegistryOptions } from "./docker-registry.ts";
export { EmbeddedRegistry, type EmbeddedRegistryOptions } from "./embedded-registry.ts";
export { type FolderFiles, folderLayer, tarLayer, tarOfFolder } from "./folder-layer.ts";
export { type KnownArtifact, knownArtifacts } from "./known-artifacts.ts";
export { readOciLayout, writeOciLayout } from "./oci-layout.ts";
export { type PushTarget, push } from "./push.ts";
export type { RegistryAuth, RegistryUser } from "./registry-auth.ts";
export { sha256Of } from "./registry-content.ts";
export type { Fault, FaultHook } from "./registry-delivery.ts";
export type { LoggedRequest, RequestFilter, RequestLog } from "./request-log.ts";
