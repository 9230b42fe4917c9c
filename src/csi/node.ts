import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  NodeServiceCapability_RPC_Type as Capability,
  VolumeCapability_AccessMode_Mode as Mode,
  type Node,
  type NodePublishVolumeRequest,
  StorageHealthErrorType,
  VolumeUsage_Unit as Unit,
  VolumeHealthErrorType,
} from "../../gen/csi/v1/csi_pb.js";
import type { Clock } from "../base/index.ts";
import type {
  PublishRequest,
  StorageHealthEntry,
  VolumeHealthEntry,
  VolumeService,
  VolumeUsage,
} from "../volume/index.ts";
import { publishOutcome } from "./publish-outcome.ts";
import { checkHealth, checkStats, checkUnpublish, publishProblems } from "./request-rules.ts";
import { shortenToBytes } from "./short-text.ts";

/** What the Node service needs. */
export interface NodeOptions {
  /** The node's name as CSINode shows it, 1 to 192 bytes. */
  readonly nodeId: string;
  readonly volumes: VolumeService;
  readonly clock: Clock;
}

/** Kubelet's own patience, for a caller that sends no grpc-timeout. */
const DEFAULT_TIMEOUT_MS = 120_000;
/** What fits into a pod's status.volumeHealth, and into CSINode (Kubernetes 1.37). */
const MAX_HEALTH_REASON_BYTES = 256;
const MAX_HEALTH_MESSAGE_BYTES = 1024;

const served = [
  Capability.GET_VOLUME_STATS,
  Capability.GET_VOLUME_HEALTH,
  Capability.GET_STORAGE_HEALTH,
  Capability.VOLUME_MOUNT_GROUP,
];

const healthStatusOf = {
  inaccessible: VolumeHealthErrorType.INACCESSIBLE,
  "data-loss": VolumeHealthErrorType.DATA_LOSS,
} as const satisfies Record<VolumeHealthEntry["status"], VolumeHealthErrorType>;

const storageStatusOf = {
  degraded: StorageHealthErrorType.STORAGE_DEGRADED,
  unreachable: StorageHealthErrorType.STORAGE_UNREACHABLE,
} as const satisfies Record<StorageHealthEntry["status"], StorageHealthErrorType>;

/** The Node service: requests checked and translated for `VolumeService`. RPCs that are not here are UNIMPLEMENTED. */
export function createNodeService(options: NodeOptions): Partial<ServiceImpl<typeof Node>> {
  const { volumes, clock } = options;
  return {
    nodePublishVolume: async (request, context) => {
      context.values.set(publishOutcome, await volumes.publish(publishRequestFrom(request, context, clock)));
      return {};
    },
    nodeUnpublishVolume: async (request) => {
      checkUnpublish(request);
      await volumes.unpublish({ volumeId: request.volumeId, targetPath: request.targetPath });
      return {};
    },
    nodeGetVolumeStats: async (request) => {
      checkStats(request);
      const stats = await volumes.stats({ volumeId: request.volumeId, volumePath: request.volumePath });
      return { usage: [usageFrom(stats.bytes, Unit.BYTES), usageFrom(stats.inodes, Unit.INODES)] };
    },
    nodeGetVolumeHealth: async (request) => {
      checkHealth(request);
      const { volumeId, volumePublishPath } = request;
      const volumePath = volumePublishPath === "" ? undefined : volumePublishPath;
      const entries = await volumes.health({ volumeId, volumePath });
      const healthStatuses = entries.map((entry) => ({ status: healthStatusOf[entry.status], ...textsFrom(entry) }));
      return { volumeHealth: { volumeId, healthStatuses } };
    },
    nodeGetStorageHealth: async () => {
      const entries = await volumes.storageHealth();
      return {
        backendHealth: entries.map((entry) => ({ status: storageStatusOf[entry.status], ...textsFrom(entry) })),
      };
    },
    nodeGetCapabilities: () => ({
      capabilities: served.map((type) => ({ type: { case: "rpc" as const, value: { type } } })),
    }),
    // maxVolumesPerNode stays 0, "no limit"; without topology every node can have every volume.
    nodeGetInfo: () => ({ nodeId: options.nodeId }),
  };
}

function publishRequestFrom(request: NodePublishVolumeRequest, context: HandlerContext, clock: Clock): PublishRequest {
  const capability = request.volumeCapability;
  const mount = capability?.accessType.case === "mount" ? capability.accessType.value : undefined;
  const mode = capability?.accessMode?.mode;
  const timeoutMs = Math.max(0, context.timeoutMs() ?? DEFAULT_TIMEOUT_MS);
  return {
    fieldProblems: publishProblems(request),
    volumeId: request.volumeId,
    targetPath: request.targetPath,
    readOnly: request.readonly || mode === Mode.SINGLE_NODE_READER_ONLY || mode === Mode.MULTI_NODE_READER_ONLY,
    mountFlags: mount?.mountFlags ?? [],
    mountGroup: mount?.volumeMountGroup ?? "",
    volumeContext: request.volumeContext,
    secrets: request.secrets,
    deadlineMs: clock.monotonicMs() + timeoutMs,
    timeoutMs,
    signal: context.signal,
  };
}

function usageFrom(usage: VolumeUsage, unit: Unit) {
  return { unit, used: int64(usage.used), total: int64(usage.total), available: int64(usage.available) };
}

/** CSI wants whole numbers that are not negative; a file system's own may be neither when it is overcommitted. */
function int64(count: number): bigint {
  return BigInt(Math.max(0, Math.trunc(count)));
}

function textsFrom(entry: VolumeHealthEntry | StorageHealthEntry) {
  return {
    reason: shortenToBytes(entry.reason, MAX_HEALTH_REASON_BYTES),
    message: shortenToBytes(entry.message, MAX_HEALTH_MESSAGE_BYTES),
  };
}
