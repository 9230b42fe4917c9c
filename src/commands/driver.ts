import { closeSync, openSync } from "node:fs";
import { arch, release } from "node:os";
import { join } from "node:path";
import { Artifacts, CredentialFinder, PullWorker } from "../artifact/index.ts";
import {
  type BuildInfo,
  type Clock,
  DriverError,
  type Libc,
  type Logger,
  loadKoffi,
  openLibc,
  systemClock,
} from "../base/index.ts";
import { Cache, lockDataDir } from "../cache/index.ts";
import type { ServeConfig } from "../config/index.ts";
import { createCsiRoutes } from "../csi/index.ts";
import { createMounter } from "../mount/index.ts";
import { platformOfMachine } from "../oci/index.ts";
import { GrpcServer } from "../server/index.ts";
import { type VolumeService, Volumes } from "../volume/index.ts";

/** What a driver is made from. */
export interface DriverOptions {
  readonly config: ServeConfig;
  readonly build: BuildInfo;
  readonly log: Logger;
  /** Gives up opening. */
  readonly signal: AbortSignal;
}

/** The services of a node, put together: the lock first, then the socket, then what lies in the data dir. */
export class Driver {
  readonly #server: GrpcServer;
  readonly #artifacts: Artifacts;
  readonly #cache: Cache;
  readonly #unlock: () => void;

  private constructor(parts: { server: GrpcServer; artifacts: Artifacts; cache: Cache; unlock: () => void }) {
    this.#server = parts.server;
    this.#artifacts = parts.artifacts;
    this.#cache = parts.cache;
    this.#unlock = parts.unlock;
  }

  /** Starts everything; calls that need the data dir are answered "unavailable" until it was read. */
  static async open({ config, build, log, signal }: DriverOptions): Promise<Driver> {
    const clock = systemClock;
    const libc = openLibc(await loadKoffi(config.dataDir));
    const unlock = await lockDataDir({ dataDir: config.dataDir, libc, clock, log, signal });
    const volumes = new VolumesLater();
    const { driverName, nodeId } = config;
    const { version: vendorVersion } = build;
    const isReady = () => volumes.isReady;
    const server = await GrpcServer.open({
      socketPath: config.csiEndpoint,
      routes: createCsiRoutes({ driverName, vendorVersion, isReady, nodeId, volumes, logger: log, clock }),
      clock,
      logger: log,
      signal,
    });
    const { cache, artifacts } = await openServices({ config, libc, clock, log }, volumes);
    log.info("the driver runs", {
      socket: config.csiEndpoint,
      dataDir: config.dataDir,
      nodeId,
      version: vendorVersion,
    });
    return new Driver({ server, artifacts, cache, unlock });
  }

  /** Lets calls in flight finish, ends pulls, leaves mounts alone. */
  async close(): Promise<void> {
    await this.#server.close();
    await this.#artifacts.close();
    await this.#cache.close();
    this.#unlock();
  }
}

interface Surroundings {
  readonly config: ServeConfig;
  readonly libc: Libc;
  readonly clock: Clock;
  readonly log: Logger;
}

async function openServices({ config, libc, clock, log }: Surroundings, volumes: VolumesLater) {
  const { dataDir, dockerConfig, caFile, enforceNamespaces, maxPulls, concurrency, maxUnpackRatio, allowRegistry } =
    config;
  const cache = await Cache.open({ dataDir, syncFileSystem: (path) => syncFileSystem(libc, path), clock, log });
  const artifacts = new Artifacts({
    cache,
    worker: new PullWorker(clock),
    credentials: new CredentialFinder({ dockerConfig, caFile, log }),
    enforceNamespaces,
    maxPulls,
    maxUnpackRatio,
    allowRegistry,
    clock,
    log,
  });
  const mounter = createMounter({ libc, kernelRelease: release(), stagingFolder: join(dataDir, "mounts") });
  const platform = platformOfMachine("linux", arch());
  volumes.become(await Volumes.open({ artifacts, cache, mounter, platform, concurrency, clock, log }));
  return { cache, artifacts };
}

async function syncFileSystem(libc: Libc, path: string): Promise<void> {
  const fd = openSync(path, "r");
  try {
    await libc.syncFileSystem(fd);
  } finally {
    closeSync(fd);
  }
}

/** The volume service before it is there: the socket is served from the first moment, so that nobody gives up on it. */
class VolumesLater implements VolumeService {
  #volumes: VolumeService | undefined;

  get isReady(): boolean {
    return this.#volumes !== undefined;
  }

  become(volumes: VolumeService): void {
    this.#volumes = volumes;
  }

  publish: VolumeService["publish"] = async (request) => this.#get().publish(request);
  unpublish: VolumeService["unpublish"] = async (request) => this.#get().unpublish(request);
  stats: VolumeService["stats"] = async (request) => this.#get().stats(request);
  health: VolumeService["health"] = async (request) => this.#get().health(request);

  #get(): VolumeService {
    if (this.#volumes !== undefined) return this.#volumes;
    throw new DriverError("unavailable", "the driver is starting: it reads what is published on this node");
  }
}
