import type { ConnectRouter } from "@connectrpc/connect";
import { Identity, Node } from "../../gen/csi/v1/csi_pb.js";
import type { Clock, Logger } from "../base/index.ts";
import { createIdentityService, type IdentityOptions } from "./identity.ts";
import { createNodeService, type NodeOptions } from "./node.ts";
import { createRpcLog } from "./rpc-log.ts";
import { createRpcMetrics, type RpcObserver } from "./rpc-metrics.ts";
import { statusInterceptor } from "./status.ts";

/** Everything the CSI services need. */
export interface CsiOptions extends IdentityOptions, NodeOptions {
  readonly observer: RpcObserver;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** The Identity and Node services with their log, metrics and error mapping, to be served on the CSI socket. */
export function createCsiRoutes(options: CsiOptions): (router: ConnectRouter) => void {
  const { observer, logger, clock } = options;
  const interceptors = [createRpcLog(logger, clock), createRpcMetrics(observer, clock), statusInterceptor];
  // What is left out here is what Connect takes as a default, whatever the router says.
  const serving = { interceptors, grpc: true, grpcWeb: false, connect: false };
  return (router) => {
    router.service(Identity, createIdentityService(options), serving);
    router.service(Node, createNodeService(options), serving);
  };
}
