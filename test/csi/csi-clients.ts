import { connect } from "node:net";
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import * as grpc from "@grpc/grpc-js";
import { Identity, Node } from "../../gen/csi/v1/csi_pb.js";

/** Connect's own client on a unix socket. */
export interface ConnectClients extends Disposable {
  readonly identity: Client<typeof Identity>;
  readonly node: Client<typeof Node>;
}

/** Clients of the CSI services that share one connection, closed by disposal. */
export function useConnectClients(socketPath: string): ConnectClients {
  const sessions = new Http2SessionManager("http://localhost", {}, { createConnection: () => connect(socketPath) });
  const transport = createGrpcTransport({ baseUrl: "http://localhost", sessionManager: sessions });
  return {
    identity: createClient(Identity, transport),
    node: createClient(Node, transport),
    [Symbol.dispose]: () => sessions.abort(),
  };
}

/** grpc-js on a unix socket: an implementation of gRPC that shares nothing with the server's. */
export class GrpcJsClient implements Disposable {
  readonly #client: grpc.Client;

  constructor(socketPath: string, options: grpc.ClientOptions = {}) {
    this.#client = new grpc.Client(`unix:${socketPath}`, grpc.credentials.createInsecure(), {
      "grpc.use_local_subchannel_pool": 1,
      ...options,
    });
  }

  /** Calls a method; rejects with grpc-js' ServiceError. */
  call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options: grpc.CallOptions = {},
  ): Promise<MessageShape<O>> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        `/${method.parent.typeName}/${method.name}`,
        (message: MessageShape<I>) => Buffer.from(toBinary(method.input, message)),
        (bytes: Buffer) => fromBinary(method.output, bytes),
        create(method.input, request),
        new grpc.Metadata(),
        options,
        (error, answer) => (error === null && answer !== undefined ? resolve(answer) : reject(error)),
      );
    });
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}
