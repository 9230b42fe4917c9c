import type { ConnectRouter } from "@connectrpc/connect";
import { Identity, Node } from "../../gen/csi/v1/csi_pb.js";
import type { Clock, Logger } from "../base/index.ts";
import { createIdentityService, type IdentityOptions } from "./identity.ts";
import { createNodeService, type NodeOptions } from "./node.ts";
import { createRpcLog } from "./rpc-log.ts";
import { statusInterceptor } from "./status.ts";

/** Everything the CSI services need. */
export interface CsiOptions extends IdentityOptions, NodeOptions {
  readonly logger: Logger;
  readonly clock: Clock;
}

/** The Identity and Node services with their log and error mapping, to be served on the CSI socket. */
export function createCsiRoutes(options: CsiOptions): (router: ConnectRouter) => void {
  const interceptors = [createRpcLog(options.logger, options.clock), statusInterceptor];
  return (router) => {
    router.service(Identity, createIdentityService(options), { interceptors });
    router.service(Node, createNodeService(options), { interceptors });
  };
}
