import { connect } from "node:net";
import { createClient } from "@connectrpc/connect";
import { Identity } from "../../gen/csi/v1/csi_pb.js";
import { Registration } from "../../gen/pluginregistration/v1/pluginregistration_pb.js";
import { DriverError, errnoOf } from "../base/index.ts";
import { withGrpcSocket } from "./grpc-socket.ts";

/** Who listens on a unix socket: nothing is there, a file that nobody serves any more, or a living process. */
export type SocketState = "absent" | "dead" | "alive";

/** How long a process that took the connection has to say its name. */
const NAME_TIMEOUT_MS = 1000;

/** Finds out by connecting. Throws "refused" if the kernel answers in any other way. */
export function probeSocket(path: string): Promise<SocketState> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve("alive");
    });
    socket.once("error", (error) => {
      const state = stateFromErrno(errnoOf(error));
      if (state !== undefined) resolve(state);
      else
        reject(new DriverError("refused", `cannot tell whether somebody listens on ${path}: ${error.message}`, error));
    });
  });
}

function stateFromErrno(errno: string | undefined): SocketState | undefined {
  switch (errno) {
    case "ENOENT":
      return "absent";
    case "ECONNREFUSED":
      return "dead";
    // The queue of a living listener is full, or it closed the connection at once.
    case "EAGAIN":
    case "ECONNRESET":
      return "alive";
    default:
      return undefined;
  }
}

/** The name and version of the CSI driver that answers on a socket, for a message; less if it does not say. */
export async function describeSocketOwner(path: string): Promise<string> {
  const timeout = { timeoutMs: NAME_TIMEOUT_MS };
  try {
    return await withGrpcSocket(path, async (transport) => {
      const info = await createClient(Identity, transport).getPluginInfo({}, timeout);
      return `the CSI driver ${info.name} ${info.vendorVersion}`;
    });
  } catch {
    // It may be a registration socket.
  }
  try {
    return await withGrpcSocket(path, async (transport) => {
      const info = await createClient(Registration, transport).getInfo({}, timeout);
      return `who registers the CSI driver ${info.name} (its node-driver-registrar, or another driver of this name)`;
    });
  } catch {
    // It only matters that something listens.
    return "a process that does not say what it is";
  }
}
