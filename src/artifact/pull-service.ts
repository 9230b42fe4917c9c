import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import type { MessagePort } from "node:worker_threads";
import {
  buildInfo,
  createCollector,
  createSilentLogger,
  freeBuffers,
  KeyedLock,
  serveCalls,
  systemClock,
} from "../base/index.ts";
import {
  Admission,
  createRegistryClient,
  type FetchedManifest,
  type HostFailure,
  type HttpLimits,
  type ManifestQuery,
  type RegistryClient,
  type Unveil,
  type UnveiledCredential,
} from "../registry/index.ts";
import { Bandwidth } from "./bandwidth.ts";
import { diskErrorFrom } from "./disk-error.ts";
import { LARGE_MANIFEST_BYTES, MANY_LAYERS } from "./large-work.ts";
import { LayerUnpacker } from "./layer-unpacker.ts";
import { AwayRoom } from "./pull-place.ts";
import { PullRun } from "./pull-run.ts";
import { exchangeTree } from "./tree-exchange.ts";
import type {
  GetManifest,
  HandedManifest,
  ManifestRequest,
  PullWorkerCalls,
  PullWorkerLimits,
  RequestEvent,
  UnveilAsk,
} from "./worker-calls.ts";

/** How calls are served. */
export interface ServeOptions {
  /** The process ends after a pull: nobody minds what is left in memory. */
  readonly isLastWork?: boolean;
}

/**
 * Serves the calls of the pull worker: all traffic with registries, hashing, and what is written to the cache. What it
 * returns ends connections and threads of its own.
 */
export function servePulls(
  port: MessagePort,
  { maxBandwidth, stallTimeoutMs }: PullWorkerLimits,
  { isLastWork = false }: ServeOptions = {},
): () => Promise<void> {
  const clock = systemClock;
  const clients = createClients(stallTimeoutMs === undefined ? {} : { stallTimeoutMs });
  const clientFor = clients.clientFor;
  const bandwidth = maxBandwidth === undefined ? undefined : new Bandwidth(maxBandwidth, clock);
  const [fetching, committing] = [new KeyedLock(), new KeyedLock()];
  const awayRoom = new AwayRoom();
  const { collect, collectIfGrown } = createCollector();
  const unpacker = new LayerUnpacker(clock);
  serveCalls<PullWorkerCalls>(port, {
    manifest: async (request, context) => {
      const fetched = await clientFor(request).fetchManifest(queryOf(request, context));
      if (fetched.bytes.length < LARGE_MANIFEST_BYTES) return fetched;
      if (!isLastWork) clock.after(0, collect);
      return putAside(fetched, request);
    },
    head: async (request, context) => (await clientFor(request).headManifest(queryOf(request, context)))?.digest,
    exchange: async (exchange) => exchangeTree(exchange),
    pull: async (job, context) => {
      const isLarge = job.layers.length > MANY_LAYERS;
      // What brought the job here is of no use any more.
      if (isLarge && !isLastWork) collect();
      try {
        const createAdmission = () => new Admission(unveilBy(context.ask));
        const shared = { awayRoom, unpacker, fetching, committing, bandwidth, clock, collectIfGrown };
        const tools = { client: clientFor(job), createAdmission, ...shared };
        return await new PullRun(job, context, tools).run();
      } finally {
        // What it left is nothing that its caller waits for.
        if (!isLastWork) clock.after(0, isLarge ? collect : collectIfGrown);
      }
    },
  });
  return async () => {
    clients.close();
    await unpacker.close();
  };
}

/** The main thread reads large ones when it gets to them. Meanwhile they would take too much memory. */
function putAside(fetched: FetchedManifest, { largeFile, repository }: GetManifest): HandedManifest {
  try {
    writeFileSync(largeFile, fetched.bytes, { flag: "wx", mode: 0o600 });
  } catch (error) {
    throw diskErrorFrom(error, `pull from ${repository.registry}/${repository.repository}`);
  }
  freeBuffers([fetched.bytes]);
  return { ...fetched, bytes: undefined };
}

interface RequestContext {
  readonly signal: AbortSignal;
  readonly emit: (event: RequestEvent) => void;
  readonly ask: (ask: UnveilAsk) => Promise<unknown>;
}

function queryOf(request: ManifestRequest, { signal, emit, ask }: RequestContext): ManifestQuery {
  const { repository, hosts, credentials, tagOrDigest } = request;
  const onFailedTry = (failedTry: string) => emit({ failedTry });
  const onHostFailed = (failedHost: HostFailure) => emit({ failedHost });
  const admission = new Admission(unveilBy(ask));
  return { repository, hosts, credentials, tagOrDigest, admission, signal, onFailedTry, onHostFailed };
}

/** Helpers and providers are the main thread's: what they say is kept there, for as long as it may be. */
function unveilBy(ask: RequestContext["ask"]): Unveil {
  return async (unveil, isFresh) => (await ask({ unveil, isFresh })) as UnveiledCredential;
}

/** One client for each set of trusted roots: connections of one are never used for another. */
function createClients(limits: Partial<HttpLimits>) {
  const clients = new Map<string, RegistryClient>();
  // What a registry did is told to the caller, by events and errors: a worker writes no log of its own.
  const log = createSilentLogger();
  return {
    clientFor({ caCertificates }: { readonly caCertificates: readonly string[] }): RegistryClient {
      const key = createHash("sha256").update(JSON.stringify(caCertificates)).digest("hex");
      const userAgent = `oras-csi/${buildInfo().version}`;
      const client =
        clients.get(key) ?? createRegistryClient({ clock: systemClock, log, caCertificates, userAgent, limits });
      clients.set(key, client);
      return client;
    },
    close(): void {
      for (const client of clients.values()) client.close();
    },
  };
}
