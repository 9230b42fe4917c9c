import { arch, release } from "node:os";
import { Artifacts, CredentialFinder, HostFailureLog, PullWorker } from "../artifact/index.ts";
import {
  type BuildInfo,
  type CacheFigures,
  type Clock,
  createMemory,
  describeError,
  type Libc,
  type Logger,
  loadKoffi,
  type Memory,
  Metrics,
  openLibc,
  systemClock,
  unmapProgramPages,
} from "../base/index.ts";
import { Cache, createLayout, lockDataDir, requireNothingInTheWay } from "../cache/index.ts";
import type { ServeConfig } from "../config/index.ts";
import { createBoundedMounter, createMounter, type Mounter } from "../mount/index.ts";
import { platformOfMachine } from "../oci/index.ts";
import type { HostFailure } from "../registry/index.ts";
import { Volumes } from "../volume/index.ts";
import { AdminService } from "./admin-service.ts";
import { Sockets } from "./sockets.ts";
import { syncFileSystem } from "./sync-file-system.ts";
import { VolumesLater } from "./volumes-later.ts";

/** What a driver is made from. */
export interface DriverOptions {
  readonly config: ServeConfig;
  readonly build: BuildInfo;
  readonly log: Logger;
  /** Gives up opening. */
  readonly signal: AbortSignal;
}

/** What a driver is made of, as far as it was opened. */
interface DriverParts {
  libc?: Libc;
  unlock?: () => void;
  sockets?: Sockets;
  cache?: Cache;
  artifacts?: Artifacts;
  volumes?: Volumes;
  admin?: AdminService;
}

/** The services of a node, put together: the lock first, then the sockets, then what lies in the data dir. */
export class Driver {
  readonly #parts: DriverParts = {};

  /** Starts everything; calls that need the data dir are answered "unavailable" until it was read. */
  static async open(options: DriverOptions): Promise<Driver> {
    const driver = new Driver();
    try {
      await driver.#open(options);
      return driver;
    } catch (error) {
      await driver.close();
      throw error;
    }
  }

  async #open({ config, build, log, signal }: DriverOptions): Promise<void> {
    const parts = this.#parts;
    const clock = systemClock;
    requireNothingInTheWay(config.dataDir);
    const libc = openLibc(await loadKoffi(config.dataDir));
    parts.libc = libc;
    // Tried there only: what else runs in Deno's process is not ours to tune.
    if (build.runtime !== "deno") libc.giveLargeBlocksBack();
    parts.unlock = await lockDataDir({ dataDir: config.dataDir, libc, clock, log, signal });
    const volumes = new VolumesLater();
    const metrics = new Metrics(build);
    const { dataDir, nodeId, driverName, concurrency } = config;
    const kernelMounter = createMounter({
      libc,
      kernelRelease: release(),
      stagingFolder: createLayout(dataDir).mounts,
    });
    const mounter = createBoundedMounter(kernelMounter, { clock });
    parts.sockets = await Sockets.open({ config, build, volumes, mounter, metrics, clock, log, signal });
    const memory = createMemory(libc);
    const surroundings = { config, libc, memory, metrics, clock, log };
    const cache = await openCache(surroundings);
    parts.cache = cache;
    const artifacts = createArtifacts(cache, surroundings);
    parts.artifacts = artifacts;
    const platform = platformOfMachine("linux", arch());
    const toVolumes = { artifacts, cache, mounter, driverName, platform, concurrency, clock, log };
    const opened = await Volumes.open(toVolumes);
    parts.volumes = opened;
    await warnIfNothingRuns(mounter, dataDir, log);
    metrics.followVolumes(() => opened.count());
    metrics.followCache(() => cacheFigures(cache));
    if (!cache.dataDir.isNewer) cache.collector.start();
    volumes.become(opened);
    parts.admin = await AdminService.open({ cache, artifacts, volumes: opened, memory, clock, log });
    log.info("the driver runs", {
      socket: config.csiEndpoint,
      dataDir,
      nodeId,
      version: build.version,
    });
    if (build.runtime === "executable") clock.after(GIVE_BACK_MS, () => void giveBackStartUp({ libc, memory, log }));
  }

  /** Lets calls in flight finish, ends pulls, leaves mounts alone. */
  async close(): Promise<void> {
    const { sockets, admin, volumes, artifacts, cache, unlock } = this.#parts;
    await sockets?.close();
    await admin?.close();
    await volumes?.close();
    await artifacts?.close();
    await cache?.close();
    unlock?.();
  }

  /** Ends the process at once: for the case that a thread of it hangs in a file system that never answers. */
  exit(code: number): void {
    this.#parts.libc?.exit(code);
  }
}

interface Surroundings {
  readonly config: ServeConfig;
  readonly libc: Libc;
  readonly memory: Memory;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly log: Logger;
}

function openCache({ config, libc, metrics, clock, log }: Surroundings): Promise<Cache> {
  const syncDataDir = (path: string) => syncFileSystem(libc, path);
  return Cache.open({
    dataDir: config.dataDir,
    syncFileSystem: syncDataDir,
    limits: config.cacheLimits,
    observer: metrics,
    clock,
    log,
  });
}

/** What the cache held when it was last counted: not at each scrape. */
function cacheFigures({ collector, inventory }: Cache): CacheFigures {
  const { blobs, layers, partials, uppers } = collector.lastUsage ?? {};
  const counted = { blobs, layers, partials, uppers };
  const uses = Object.fromEntries(Object.entries(counted).flatMap(([kind, use]) => (use ? [[kind, use]] : [])));
  return { uses, trees: inventory.size, isFull: collector.fullness?.isByOthers === false };
}

function createArtifacts(cache: Cache, { config, memory, metrics, clock, log }: Surroundings): Artifacts {
  const { dockerConfig, caFile, registryHostsDir, credentialProviders: providers } = config;
  const { enforceNamespaces, allowRegistry } = config;
  const { maxPulls, maxUnpackRatio, maxArtifactBytes, maxBandwidth, stallTimeout } = config;
  const credentials = new CredentialFinder({ dockerConfig, caFile, registryHostsDir, providers, clock, log });
  const failures = new HostFailureLog({ clock, log });
  const hostFailed = (failure: HostFailure) => {
    metrics.hostFailed(failure);
    failures.note(failure);
  };
  return new Artifacts({
    cache,
    worker: new PullWorker(clock, {
      hostFailed,
      unveil: credentials.unveil,
      maxBandwidth,
      stallTimeoutMs: stallTimeout,
    }),
    credentials,
    enforceNamespaces,
    maxPulls,
    maxUnpackRatio,
    maxArtifactBytes,
    allowRegistry,
    memory,
    observer: metrics,
    clock,
    log,
  });
}

/** What a volume shows lies in the data dir, and is as little allowed to run as anything there. */
async function warnIfNothingRuns(mounter: Mounter, dataDir: string, log: Logger): Promise<void> {
  const entry = await mounter.mountHolding(dataDir);
  if (entry?.options.includes("noexec") !== true) return;
  const message = "the data dir is on a file system mounted noexec: programs in read-only volumes cannot be run";
  log.warn(message, { dataDir, fsType: entry.fsType });
}

/** The first calls come before: they are not to wait for it. */
const GIVE_BACK_MS = 500;

/** Gives memory back that only starting needed, a third of it all; where the system forbids that, the driver runs on. */
async function giveBackStartUp({ libc, memory, log }: Pick<Surroundings, "libc" | "memory" | "log">): Promise<void> {
  memory.collect();
  try {
    await memory.trim();
    await unmapProgramPages(libc);
  } catch (error) {
    log.debug("memory that starting took is not given back", { error: describeError(error) });
  }
}
