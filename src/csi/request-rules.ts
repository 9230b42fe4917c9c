import {
  type NodeGetVolumeHealthRequest,
  type NodeGetVolumeStatsRequest,
  type NodePublishVolumeRequest,
  type NodeUnpublishVolumeRequest,
  VolumeCapability_AccessMode_Mode,
} from "../../gen/csi/v1/csi_pb.js";
import { DriverError } from "../base/index.ts";

/** One thing a request must not be; the problem is told to whoever sent it. */
interface Rule<R> {
  readonly broken: (request: R) => boolean;
  readonly problem: string;
}

/** The kernel takes paths of 4,096 bytes, the closing NUL included. */
const MAX_PATH_BYTES = 4095;

const noVolumeId: Rule<{ readonly volumeId: string }> = {
  broken: (r) => r.volumeId === "",
  problem: "the volume id is missing",
};

const targetRules: readonly Rule<{ readonly targetPath: string }>[] = [
  { broken: (r) => r.targetPath === "", problem: "the target path is missing" },
  {
    broken: (r) => r.targetPath !== "" && !r.targetPath.startsWith("/"),
    problem: "the target path must be absolute",
  },
  { broken: (r) => r.targetPath.includes("\0"), problem: "the target path contains a NUL character" },
  {
    broken: (r) => Buffer.byteLength(r.targetPath) > MAX_PATH_BYTES,
    problem: `the target path is longer than ${MAX_PATH_BYTES} bytes`,
  },
];

const publishRules: readonly Rule<NodePublishVolumeRequest>[] = [
  noVolumeId,
  ...targetRules,
  { broken: (r) => r.volumeCapability === undefined, problem: "the volume capability is missing" },
  {
    broken: (r) => r.volumeCapability !== undefined && r.volumeCapability.accessType.case === undefined,
    problem: "the volume capability has no access type, it must be mount",
  },
  {
    broken: (r) => r.volumeCapability?.accessType.case === "block",
    problem: "block volumes are not supported, use volumeMode: Filesystem",
  },
  {
    // An absent mode asks for nothing in particular; one that a later release of CSI adds might ask for anything.
    broken: (r) => VolumeCapability_AccessMode_Mode[r.volumeCapability?.accessMode?.mode ?? 0] === undefined,
    problem: "the access mode is unknown to this driver",
  },
];

const unpublishRules: readonly Rule<NodeUnpublishVolumeRequest>[] = [noVolumeId, ...targetRules];

// A path that cannot be a target is not refused here: csi-sanity wants NOT_FOUND for it, as for any other unknown one.
const statsRules: readonly Rule<NodeGetVolumeStatsRequest>[] = [
  noVolumeId,
  { broken: (r) => r.volumePath === "", problem: "the volume path is missing" },
];

const healthRules: readonly Rule<NodeGetVolumeHealthRequest>[] = [noVolumeId];

/** Everything that a NodePublishVolume lacks or has wrong; attributes and secrets are not looked at. */
export function publishProblems(request: NodePublishVolumeRequest): readonly string[] {
  return problemsOf(publishRules, request);
}

/** Throws "bad-input" that lists everything the request lacks or has wrong. */
export function checkUnpublish(request: NodeUnpublishVolumeRequest): void {
  check("unpublish the volume", unpublishRules, request);
}

/** As `checkUnpublish`, for NodeGetVolumeStats. */
export function checkStats(request: NodeGetVolumeStatsRequest): void {
  check("measure the volume", statsRules, request);
}

/** As `checkUnpublish`, for NodeGetVolumeHealth. */
export function checkHealth(request: NodeGetVolumeHealthRequest): void {
  check("tell the volume's health", healthRules, request);
}

function check<R>(verb: string, rules: readonly Rule<R>[], request: R): void {
  const problems = problemsOf(rules, request);
  if (problems.length > 0) throw new DriverError("bad-input", `cannot ${verb}: ${problems.join("; ")}`);
}

function problemsOf<R>(rules: readonly Rule<R>[], request: R): readonly string[] {
  return rules.filter((rule) => rule.broken(request)).map((rule) => rule.problem);
}
