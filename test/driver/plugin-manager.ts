import { EventEmitter, once } from "node:events";
import { type FSWatcher, lstatSync, watch } from "node:fs";
import { join } from "node:path";
import { Client, credentials, Metadata, type MethodDefinition, status } from "@grpc/grpc-js";
import { loadSync, type ServiceDefinition } from "@grpc/proto-loader";
import { createGrpcJsClient } from "./grpc-js-client.ts";

/** What a plugin says about itself. */
export interface PluginInfo {
  readonly type: string;
  readonly name: string;
  readonly endpoint: string;
  readonly supportedVersions: readonly string[];
}

/** What kubelet's watch of its plugins_registry folder showed. */
export interface RegistryEvent {
  readonly kind: "create" | "remove";
  readonly path: string;
}

const PROTO_FOLDER = join(import.meta.dirname, "../../proto");
/** Kubelet's own limits. */
const GET_INFO_MS = 1_000;
const NOTIFY_MS = 5_000;

/** Plays the part of kubelet that finds plugins by their sockets and registers them. */
export class PluginManager implements Disposable {
  readonly events: RegistryEvent[] = [];
  readonly #folder: string;
  readonly #watcher: FSWatcher;
  readonly #news = new EventEmitter();

  /** Watches a folder, which must be there. */
  constructor(folder: string) {
    this.#folder = folder;
    this.#watcher = watch(folder, (event, name) => this.#note(event, name));
  }

  /** The first event of a kind that comes after `count` events of that kind; waits for it. */
  async event(kind: RegistryEvent["kind"], count = 0): Promise<RegistryEvent> {
    for (;;) {
      const found = this.events.filter((event) => event.kind === kind)[count];
      if (found !== undefined) return found;
      await once(this.#news, "event");
    }
  }

  /** What the plugin at a socket says about itself. Kubelet asks again when it had no answer within its second. */
  async getInfo(socketPath: string): Promise<PluginInfo> {
    for (;;) {
      try {
        return (await callRegistration(socketPath, "GetInfo", {}, GET_INFO_MS)) as PluginInfo;
      } catch (error) {
        if ((error as { code?: unknown }).code !== status.DEADLINE_EXCEEDED) throw error;
      }
    }
  }

  /** Tells a plugin how its registration went. */
  async notify(socketPath: string, outcome: { pluginRegistered: boolean; error?: string }): Promise<void> {
    await callRegistration(socketPath, "NotifyRegistrationStatus", outcome, NOTIFY_MS);
  }

  /** Registers the plugin at a socket as kubelet does; answers the node's id in CSINode. Throws after a refusal. */
  async register(socketPath: string): Promise<{ readonly info: PluginInfo; readonly nodeId: string }> {
    const info = await this.getInfo(socketPath);
    const error = whyNot(info);
    if (error !== undefined) {
      await this.notify(socketPath, { pluginRegistered: false, error });
      throw new Error(error);
    }
    using client = createGrpcJsClient(info.endpoint === "" ? socketPath : info.endpoint);
    const nodeId = await client.nodeId();
    await this.notify(socketPath, { pluginRegistered: true });
    return { info, nodeId };
  }

  [Symbol.dispose](): void {
    this.#watcher.close();
  }

  #note(event: string, name: string | null): void {
    // Kubelet leaves out hidden names and what is no socket; "change" is no event to it.
    if (event !== "rename" || name === null || name.startsWith(".")) return;
    const path = join(this.#folder, name);
    const file = lstatSync(path, { throwIfNoEntry: false });
    if (file !== undefined && !file.isSocket()) return;
    this.events.push({ kind: file === undefined ? "remove" : "create", path });
    this.#news.emit("event");
  }
}

function whyNot({ type, name, supportedVersions }: PluginInfo): string | undefined {
  if (type !== "CSIPlugin") return `no handler for plugin type ${type}`;
  if (name === "") return "the plugin has no name";
  if (!supportedVersions.some((version) => /^v?1\./.test(version))) return "no supported version";
  return undefined;
}

/** Kubelet's registration dial sets no authority: newer grpc-go sends the path, percent-encoded. */
function callRegistration(socketPath: string, name: string, request: object, timeoutMs: number): Promise<object> {
  const loaded = loadSync("pluginregistration/v1/pluginregistration.proto", { includeDirs: [PROTO_FOLDER] });
  const service = loaded["pluginregistration.Registration"] as ServiceDefinition;
  const { path, requestSerialize, responseDeserialize } = service[name] as MethodDefinition<object, object>;
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure(), {
    "grpc.default_authority": encodeURIComponent(socketPath),
    "grpc.use_local_subchannel_pool": 1,
  });
  const called = new Promise<object>((resolve, reject) => {
    const deadline = Date.now() + timeoutMs;
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      new Metadata(),
      { deadline },
      (error, answer) => (error === null && answer !== undefined ? resolve(answer) : reject(error)),
    );
  });
  return called.finally(() => client.close());
}
