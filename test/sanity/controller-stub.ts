import { createServer, type Http2Server } from "node:http2";
import { connect } from "node:net";
import { Code, ConnectError, type ConnectRouter, createClient, type ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter, createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { Controller, ControllerServiceCapability_RPC_Type } from "../../gen/csi/v1/controller_pb.js";
import { Identity, Node, PluginCapability_Service_Type } from "../../gen/csi/v1/csi_pb.js";

/**
 * The controller that csi-sanity needs to make volumes, as oras-csi has none: CreateVolume hands the parameters on as the
 * volume's context, and that is all. Its Identity says that there is a controller; its Node calls go to the driver, so that
 * the specs which want both on one socket can run.
 */
export class ControllerStub implements AsyncDisposable {
  readonly #server: Http2Server;
  readonly #sessions: Http2SessionManager;

  private constructor(driverSocket: string) {
    const nodeOptions = { createConnection: () => connect(driverSocket) };
    this.#sessions = new Http2SessionManager("http://localhost", {}, nodeOptions);
    const transport = createGrpcTransport({ baseUrl: "http://localhost", sessionManager: this.#sessions });
    const driver = createClient(Node, transport);
    this.#server = createServer(
      connectNodeAdapter({
        routes(router) {
          serveController(router);
          router.service(Node, forward(driver));
        },
      }),
    );
  }

  /** Serves on `socketPath`, beside the driver on `driverSocket`. */
  static async start(socketPath: string, driverSocket: string): Promise<ControllerStub> {
    const stub = new ControllerStub(driverSocket);
    await new Promise<void>((resolve, reject) => {
      stub.#server.once("error", reject);
      stub.#server.listen(socketPath, resolve);
    });
    return stub;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#sessions.abort();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function serveController(router: ConnectRouter): void {
  router.service(Identity, {
    getPluginInfo: () => ({ name: "controller-stub.test", vendorVersion: "0" }),
    getPluginCapabilities() {
      const service = { type: PluginCapability_Service_Type.CONTROLLER_SERVICE };
      return { capabilities: [{ type: { case: "service", value: service } }] };
    },
    probe: () => ({}),
  });
  router.service(Controller, {
    controllerGetCapabilities() {
      const rpc = { type: ControllerServiceCapability_RPC_Type.CREATE_DELETE_VOLUME };
      return { capabilities: [{ type: { case: "rpc", value: rpc } }] };
    },
    createVolume: ({ name, parameters }) => ({ volume: { volumeId: name, volumeContext: parameters } }),
    deleteVolume: () => ({}),
  });
}

type Forwarded = (request: never) => Promise<unknown>;

/** Every method of the service, answered by the client with the same name. */
function forward(client: object): ServiceImpl<typeof Node> {
  const calls = client as Record<string, Forwarded>;
  const methods = Node.methods.map(({ localName }) => {
    const call = async (request: never) => {
      try {
        return await calls[localName]?.(request);
      } catch (reason) {
        const { rawMessage, code } = ConnectError.from(reason, Code.Unknown);
        throw new ConnectError(rawMessage, code);
      }
    };
    return [localName, call] as const;
  });
  return Object.fromEntries(methods) as unknown as ServiceImpl<typeof Node>;
}
