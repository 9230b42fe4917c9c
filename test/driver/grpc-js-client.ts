import { join } from "node:path";
import { Client, credentials, Metadata, type MethodDefinition, type ServiceError, status } from "@grpc/grpc-js";
import { loadSync, type ServiceDefinition } from "@grpc/proto-loader";
import {
  type CallOptions,
  type CsiClient,
  CsiError,
  DEFAULT_TIMEOUT_MS,
  GRACE_MS,
  type PublishRequest,
} from "./csi-client.ts";

const PROTO_FOLDER = join(import.meta.dirname, "../../proto");

/**
 * A CSI client by grpc-js and protobuf.js: it shares no code with the driver, not even the messages, which it reads from
 * proto/ by itself.
 */
export function createGrpcJsClient(socketPath: string): CsiClient {
  const loaded = loadSync("csi/v1/csi.proto", {
    includeDirs: [PROTO_FOLDER],
    longs: Number,
    enums: String,
    defaults: true,
  });
  const identity = loaded["csi.v1.Identity"] as ServiceDefinition;
  const node = loaded["csi.v1.Node"] as ServiceDefinition;
  // Kubelet says `localhost`, too; without it grpc-js sends the socket's path, percent-encoded.
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure(), {
    "grpc.default_authority": "localhost",
    "grpc.use_local_subchannel_pool": 1,
  });
  const call = createCaller(client);
  const close = () => client.close();
  return {
    pluginInfo: async () => (await call(identity, "GetPluginInfo", {})) as { name: string; vendorVersion: string },
    async pluginCapabilities() {
      const answer = (await call(identity, "GetPluginCapabilities", {})) as { capabilities: { service: Typed }[] };
      return answer.capabilities.map(({ service }) => service.type);
    },
    async probe(options) {
      const { ready } = (await call(identity, "Probe", {}, options)) as { ready: { value: boolean } | null };
      return { ready: ready?.value ?? true };
    },
    nodeId: async () => ((await call(node, "NodeGetInfo", {})) as { nodeId: string }).nodeId,
    async nodeCapabilities() {
      const answer = (await call(node, "NodeGetCapabilities", {})) as { capabilities: { rpc: Typed }[] };
      return answer.capabilities.map(({ rpc }) => rpc.type);
    },
    async publish(request, options) {
      await call(node, "NodePublishVolume", publishMessage(request), options);
    },
    async unpublish(volumeId, targetPath, options) {
      await call(node, "NodeUnpublishVolume", { volumeId, targetPath }, options);
    },
    async stats(volumeId, volumePath) {
      const answer = await call(node, "NodeGetVolumeStats", { volumeId, volumePath });
      return (answer as { usage: Awaited<ReturnType<CsiClient["stats"]>> }).usage;
    },
    async health(volumeId, volumePublishPath) {
      const answer = await call(node, "NodeGetVolumeHealth", { volumeId, volumePublishPath });
      type Health = { volumeHealth: { healthStatuses: Awaited<ReturnType<CsiClient["health"]>> } | null };
      return (answer as Health).volumeHealth?.healthStatuses ?? [];
    },
    async storageHealth() {
      const answer = await call(node, "NodeGetStorageHealth", {});
      return (answer as { backendHealth: Awaited<ReturnType<CsiClient["storageHealth"]>> }).backendHealth;
    },
    close,
    [Symbol.dispose]: close,
  };
}

interface Typed {
  readonly type: string;
}

type Caller = (service: ServiceDefinition, method: string, request: object, options?: CallOptions) => Promise<unknown>;

function createCaller(client: Client): Caller {
  return (service, name, request, { timeoutMs = DEFAULT_TIMEOUT_MS } = {}) => {
    const method = service[name] as MethodDefinition<object, object>;
    const metadata = new Metadata();
    metadata.set("grpc-timeout", `${timeoutMs}m`);
    return new Promise((resolve, reject) => {
      const { path, requestSerialize, responseDeserialize } = method;
      const done = (error: ServiceError | null, answer?: object) => {
        clearTimeout(timer);
        if (error === null) resolve(answer);
        else reject(new CsiError(codeName(error.code), decodeDetails(error.details)));
      };
      const called = client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, metadata, done);
      const timer = setTimeout(() => called.cancel(), timeoutMs + GRACE_MS).unref();
    });
  };
}

/** grpc-js has its own spelling of one code. */
function codeName(code: status): string {
  return code === status.CANCELLED ? "CANCELED" : status[code];
}

/**
 * Reads a status message to its end. Connect escapes all that encodeURIComponent does, which gRPC allows; grpc-js undoes
 * it by decodeURI, which leaves these eleven as they are. grpc-go, kubelet's library, reads them all.
 */
function decodeDetails(details: string): string {
  return details.replace(/%(3B|2F|3F|3A|40|26|3D|2B|24|2C|23)/g, (escaped) => decodeURIComponent(escaped));
}

function publishMessage(request: PublishRequest): object {
  const mount = { mountFlags: request.mountFlags ?? [], volumeMountGroup: request.volumeMountGroup ?? "" };
  const { volumeId, targetPath, readonly, volumeContext, secrets = {} } = request;
  const accessMode = { mode: request.accessMode ?? "SINGLE_NODE_WRITER" };
  const volumeCapability = { accessMode, ...(request.block ? { block: {} } : { mount }) };
  return { volumeId, targetPath, readonly, volumeContext, secrets, volumeCapability };
}
