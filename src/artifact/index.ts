export { type ArtifactRequest, Artifacts, type ArtifactsOptions, type LeasedTree } from "./artifacts.ts";
export type { CallerPull } from "./caller-pull.ts";
export { CredentialFinder } from "./credential-finder.ts";
export {
  type ArtifactDescription,
  describeArtifact,
  type LayerDescription,
} from "./description.ts";
export { diskErrorFrom } from "./disk-error.ts";
export { kindsTable } from "./kinds-table.ts";
export { HostFailureLog } from "./host-failure-log.ts";
export { type LeftTree, Mender, type MendReport } from "./mender.ts";
export { namingConfigOf } from "./layer-names.ts";
export { type Patience, waitPatiently } from "./patience.ts";
export type { ObservedPull, PullObserver } from "./pull-observer.ts";
export { formatBytes, ProgressMeter } from "./progress.ts";
export { pullTree, type SinglePull, type SinglePullOptions } from "./single-pull.ts";
export { exportTree, type TreeExport } from "./tree-export.ts";
export type { FailedTry, PullProgress } from "./worker-calls.ts";
export { PullWorker } from "./pull-worker-host.ts";
export type { PullPolicy } from "./resolver.ts";
export type { Selection } from "./selection.ts";
export { layersOfTree } from "./tree-layers.ts";
