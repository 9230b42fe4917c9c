import type { BuildInfo, Clock, Logger, Metrics } from "../base/index.ts";
import type { HttpAddress, ServeConfig } from "../config/index.ts";
import { createCsiRoutes } from "../csi/index.ts";
import type { Mounter } from "../mount/index.ts";
import {
  createHttpPages,
  createRegistration,
  createSocketChecks,
  GrpcServer,
  type GrpcServerOptions,
  type HealthCheck,
  HealthChecks,
  HttpEndpoint,
  type Registration,
} from "../server/index.ts";
import { createReadinessChecks } from "./readiness.ts";
import type { VolumesLater } from "./volumes-later.ts";

/** What the sockets are made from. */
export interface SocketsOptions {
  readonly config: ServeConfig;
  readonly build: BuildInfo;
  readonly volumes: VolumesLater;
  readonly mounter: Mounter;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly log: Logger;
  /** Gives up opening. */
  readonly signal: AbortSignal;
}

/** All that the driver listens on: CSI, kubelet's plugin registration, HTTP. */
export class Sockets {
  readonly #options: SocketsOptions;
  #csi: GrpcServer | undefined;
  #registration: GrpcServer | undefined;
  #http: HttpEndpoint | undefined;

  private constructor(options: SocketsOptions) {
    this.#options = options;
  }

  /** Opens all that the configuration names, or nothing. */
  static async open(options: SocketsOptions): Promise<Sockets> {
    const sockets = new Sockets(options);
    try {
      await sockets.#open();
      return sockets;
    } catch (error) {
      await sockets.close();
      throw error;
    }
  }

  /** Tells kubelet first, by the socket that goes; then lets calls in flight finish. */
  async close(): Promise<void> {
    await this.#registration?.close();
    await this.#http?.close();
    await this.#csi?.close();
  }

  async #open(): Promise<void> {
    const { config, build, volumes, metrics, clock, log } = this.#options;
    const { driverName, nodeId, registrationSocket } = config;
    const { version: vendorVersion } = build;
    const isReady = () => volumes.isReady;
    const csi = await this.#listen(
      config.csiEndpoint,
      createCsiRoutes({ driverName, vendorVersion, isReady, nodeId, volumes, observer: metrics, logger: log, clock }),
    );
    this.#csi = csi;
    let registration: Registration | undefined;
    if (registrationSocket !== undefined) {
      // After the CSI socket: whoever sees this one calls that one.
      registration = createRegistration({ driverName, endpoint: config.kubeletRegistrationPath, logger: log });
      this.#registration = await this.#listen(registrationSocket, registration.routes);
      metrics.followRegistration(registration.isRegistered);
    }
    const { httpEndpoint } = config;
    if (httpEndpoint !== "off") this.#http = this.#openHttp(csi, registration, httpEndpoint);
  }

  #listen(socketPath: string, routes: GrpcServerOptions["routes"]): Promise<GrpcServer> {
    const { clock, log, signal } = this.#options;
    return GrpcServer.open({ socketPath, routes, clock, logger: log, signal });
  }

  #openHttp(csi: GrpcServer, registration: Registration | undefined, { host, port }: HttpAddress): HttpEndpoint {
    const { config, volumes, mounter, metrics, clock, log } = this.#options;
    const { kubeletDir } = config;
    const sockets = createSocketChecks({ csi, registration: this.#registration });
    const ready = createReadinessChecks({ volumes, mounter, kubeletDir, registration });
    const together = (name: string, checks: readonly HealthCheck[]) =>
      new HealthChecks({ name, checks, clock, logger: log });
    const health = together("health", sockets);
    const readiness = together("readiness", [...sockets, ...ready]);
    return HttpEndpoint.open({
      host,
      port,
      pages: createHttpPages({ health, readiness, metrics }),
      clock,
      logger: log,
    });
  }
}
