import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger, type Logger, systemClock } from "../../src/base/index.ts";
import { createCsiRoutes, type RpcObserver } from "../../src/csi/index.ts";
import { GrpcServer, type GrpcServerOptions } from "../../src/server/index.ts";
import { type ConnectClients, useConnectClients } from "./csi-clients.ts";
import { ScriptedVolumes } from "./scripted-volumes.ts";

/** A log line as it was written. */
export type LogLine = Readonly<Record<string, unknown>> & { readonly level: string; readonly msg: string };

/** A CSI server on a real socket in a folder of its own, with a client. Disposal closes and removes all of it. */
export interface CsiServer extends AsyncDisposable {
  readonly folder: string;
  readonly socketPath: string;
  readonly server: GrpcServer;
  readonly volumes: ScriptedVolumes;
  readonly clients: ConnectClients;
  readonly logged: LogLine[];
}

/** What a test may want otherwise. */
export interface CsiServerOptions extends Partial<GrpcServerOptions> {
  readonly isReady?: () => boolean;
  readonly observer?: RpcObserver;
}

/** Starts a server that serves Identity and Node over `ScriptedVolumes`. */
export async function useCsiServer(options: CsiServerOptions = {}): Promise<CsiServer> {
  const folder = await mkdtemp(join(tmpdir(), "oras-csi-test-"));
  const socketPath = options.socketPath ?? join(folder, "csi.sock");
  const volumes = new ScriptedVolumes();
  const logged: LogLine[] = [];
  const logger = listLogger(logged);
  const clock = options.clock ?? systemClock;
  const routes = testRoutes(volumes, logger, { ...options, clock });
  const server = await GrpcServer.open({ routes, clock: systemClock, logger, socketPath, ...options });
  const clients = useConnectClients(socketPath);
  return {
    folder,
    socketPath,
    server,
    volumes,
    clients,
    logged,
    async [Symbol.asyncDispose]() {
      clients[Symbol.dispose]();
      await server.close();
      await rm(folder, { recursive: true });
    },
  };
}

/** Routes of the test driver. */
export function testRoutes(
  volumes: ScriptedVolumes,
  logger: Logger,
  options: Pick<CsiServerOptions, "clock" | "isReady" | "observer"> = {},
): GrpcServerOptions["routes"] {
  const { clock = systemClock, isReady = () => true, observer = { rpcDone: () => undefined } } = options;
  const identity = { driverName: "csi.oras.land", vendorVersion: "1.2.3", isReady };
  return createCsiRoutes({ ...identity, nodeId: "node-1", volumes, observer, logger, clock });
}

/** A logger that keeps all its lines, parsed. */
export function listLogger(lines: LogLine[]): Logger {
  return createLogger({ level: "trace", format: "json", write: (line) => lines.push(JSON.parse(line) as LogLine) });
}
