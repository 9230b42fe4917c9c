import { createHash } from "node:crypto";
import { parentPort } from "node:worker_threads";
import { buildInfo, createLogger, KeyedLock, serveCalls, systemClock } from "../base/index.ts";
import { createRegistryClient, type RegistryClient } from "../registry/index.ts";
import { LayerUnpacker } from "./layer-unpacker.ts";
import { PullRun } from "./pull-job.ts";
import type { ManifestRequest, PullWorkerCalls } from "./worker-calls.ts";

/** The entry of the pull worker: all traffic with registries, hashing, and what is written to the cache. */
function servePulls(port: NonNullable<typeof parentPort>): void {
  const clock = systemClock;
  const clientFor = createClients();
  const fetching = new KeyedLock();
  const unpacker = new LayerUnpacker(clock);
  serveCalls<PullWorkerCalls>(port, {
    manifest: (request, { signal, emit }) => clientFor(request).fetchManifest(queryOf(request, signal, emit)),
    head: async (request, { signal, emit }) =>
      (await clientFor(request).headManifest(queryOf(request, signal, emit)))?.digest,
    pull: (job, context) =>
      new PullRun(job, context, { client: clientFor(job), unpacker, fetching, nowMs: clock.monotonicMs }).run(),
  });
}

type Emit = (event: { readonly failedTry: string }) => void;

function queryOf({ repository, tagOrDigest, credentials }: ManifestRequest, signal: AbortSignal, emit: Emit) {
  return { repository, tagOrDigest, credentials, signal, onFailedTry: (failedTry: string) => emit({ failedTry }) };
}

/** One client for each set of trusted roots: connections of one are never used for another. */
function createClients(): (access: { readonly caCertificates: readonly string[] }) => RegistryClient {
  const clients = new Map<string, RegistryClient>();
  // What a registry did is told to the caller, by events and errors: a worker writes no log of its own.
  const log = createLogger({ level: "silent", format: "json", write: () => undefined });
  return ({ caCertificates }) => {
    const key = createHash("sha256").update(JSON.stringify(caCertificates)).digest("hex");
    const userAgent = `oras-csi/${buildInfo().version}`;
    const client = clients.get(key) ?? createRegistryClient({ clock: systemClock, log, caCertificates, userAgent });
    clients.set(key, client);
    return client;
  };
}

if (parentPort !== null) servePulls(parentPort);
