import { connect } from "node:net";
import type { DescEnum } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import {
  Identity,
  Node,
  NodeServiceCapability_RPC_TypeSchema,
  PluginCapability_Service_TypeSchema,
  StorageHealthErrorTypeSchema,
  VolumeCapability_AccessMode_Mode,
  VolumeHealthErrorTypeSchema,
  VolumeUsage_UnitSchema,
} from "../../gen/csi/v1/csi_pb.js";
import {
  type CallOptions,
  type CsiClient,
  CsiError,
  DEFAULT_TIMEOUT_MS,
  GRACE_MS,
  type PublishRequest,
} from "./csi-client.ts";

/** A CSI client by Connect: the library that the driver's server is made with. */
export function createConnectClient(socketPath: string): CsiClient {
  const nodeOptions = { createConnection: () => connect(socketPath) };
  const sessionManager = new Http2SessionManager("http://localhost", {}, nodeOptions);
  const transport = createGrpcTransport({ baseUrl: "http://localhost", sessionManager });
  const identity = createClient(Identity, transport);
  const node = createClient(Node, transport);
  const close = () => sessionManager.abort();
  return {
    pluginInfo: () => translated(identity.getPluginInfo({}, limits())),
    async pluginCapabilities() {
      const { capabilities } = await translated(identity.getPluginCapabilities({}, limits()));
      return capabilities.map(({ type }) =>
        type.case === "service" ? enumName(PluginCapability_Service_TypeSchema, type.value.type) : String(type.case),
      );
    },
    async probe(options) {
      // An absent `ready` means ready: csi.v1 says so.
      return { ready: (await translated(identity.probe({}, limits(options)))).ready ?? true };
    },
    nodeId: async () => (await translated(node.nodeGetInfo({}, limits()))).nodeId,
    async nodeCapabilities() {
      const { capabilities } = await translated(node.nodeGetCapabilities({}, limits()));
      return capabilities.map(({ type }) => enumName(NodeServiceCapability_RPC_TypeSchema, type.value?.type ?? 0));
    },
    async publish(request, options) {
      await translated(node.nodePublishVolume(publishMessage(request), limits(options)));
    },
    async unpublish(volumeId, targetPath, options) {
      await translated(node.nodeUnpublishVolume({ volumeId, targetPath }, limits(options)));
    },
    async stats(volumeId, volumePath) {
      const { usage } = await translated(node.nodeGetVolumeStats({ volumeId, volumePath }, limits()));
      return usage.map(({ unit, used, total, available }) => {
        const name = enumName(VolumeUsage_UnitSchema, unit);
        return { unit: name, used: Number(used), total: Number(total), available: Number(available) };
      });
    },
    async health(volumeId, volumePublishPath) {
      const { volumeHealth } = await translated(node.nodeGetVolumeHealth({ volumeId, volumePublishPath }, limits()));
      return (volumeHealth?.healthStatuses ?? []).map(({ status, reason, message }) => {
        return { status: enumName(VolumeHealthErrorTypeSchema, status), reason, message };
      });
    },
    async storageHealth() {
      const { backendHealth } = await translated(node.nodeGetStorageHealth({}, limits()));
      return backendHealth.map(({ status, reason, message }) => {
        return { status: enumName(StorageHealthErrorTypeSchema, status), reason, message };
      });
    },
    close,
    [Symbol.dispose]: close,
  };
}

function limits({ timeoutMs = DEFAULT_TIMEOUT_MS }: CallOptions = {}) {
  return { headers: { "grpc-timeout": `${timeoutMs}m` }, signal: AbortSignal.timeout(timeoutMs + GRACE_MS) };
}

function publishMessage(request: PublishRequest) {
  const mount = {
    mountFlags: [...(request.mountFlags ?? [])],
    volumeMountGroup: request.volumeMountGroup ?? "",
  };
  return {
    volumeId: request.volumeId,
    targetPath: request.targetPath,
    readonly: request.readonly,
    volumeContext: { ...request.volumeContext },
    secrets: { ...request.secrets },
    volumeCapability: {
      accessType: request.block ? { case: "block" as const, value: {} } : { case: "mount" as const, value: mount },
      accessMode: { mode: VolumeCapability_AccessMode_Mode[request.accessMode ?? "SINGLE_NODE_WRITER"] },
    },
  };
}

function enumName(schema: DescEnum, number: number): string {
  return schema.value[number]?.name ?? `unknown ${number}`;
}

async function translated<Result>(call: Promise<Result>): Promise<Result> {
  try {
    return await call;
  } catch (reason) {
    const { code, rawMessage } = ConnectError.from(reason);
    const name = (Code[code] ?? "Unknown").replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
    throw new CsiError(name, rawMessage);
  }
}
