import { ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { Identity } from "../../gen/csi/v1/csi_pb.js";
import { Registration } from "../../gen/pluginregistration/v1/pluginregistration_pb.js";
import { DriverError } from "../base/index.ts";
import type { GrpcServer } from "./grpc-server.ts";
import { withGrpcSocket } from "./grpc-socket.ts";
import type { HealthCheck } from "./health-checks.ts";

/** As much of a server as its check asks for. */
type ServedSocket = Pick<GrpcServer, "socketPath" | "ownsSocketFile">;

/** The sockets that the driver serves. */
export interface ServedSockets {
  readonly csi: ServedSocket;
  readonly registration: ServedSocket | undefined;
}

/** A little less than a health check as a whole has, so that this failure is the one that is told. */
const CALL_MS = 2900;

/**
 * Calls the driver as kubelet does, through its sockets, and sees that their files are still the driver's: somebody may
 * have wiped kubelet's folder. A driver that is still starting is healthy (CSI 1.13, Identity.Probe).
 */
export function createSocketChecks({ csi, registration }: ServedSockets): readonly HealthCheck[] {
  const probe = (transport: Transport) => createClient(Identity, transport).probe({}, { timeoutMs: CALL_MS });
  const getInfo = (transport: Transport) => createClient(Registration, transport).getInfo({}, { timeoutMs: CALL_MS });
  const checks = [socketCheck("the CSI socket", csi, probe)];
  if (registration !== undefined) checks.push(socketCheck("the registration socket", registration, getInfo));
  return checks;
}

function socketCheck(
  what: string,
  server: ServedSocket,
  call: (transport: Transport) => Promise<unknown>,
): HealthCheck {
  const path = server.socketPath;
  const run = async () => {
    if (!server.ownsSocketFile()) {
      throw new DriverError("unavailable", `${what} ${path} was deleted or replaced by another process`);
    }
    await withGrpcSocket(path, call).catch((reason: unknown) => {
      const { rawMessage } = ConnectError.from(reason);
      throw new DriverError("unavailable", `${what} ${path} does not answer: ${rawMessage}`, reason);
    });
  };
  return { name: what, run };
}
