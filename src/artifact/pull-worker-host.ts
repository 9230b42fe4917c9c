import { type CallOptions, type Clock, serveInThisThread, startWorker, WorkerHost } from "../base/index.ts";
import type { Digest } from "../oci/index.ts";
import type { HostFailure, Repository, Unveil } from "../registry/index.ts";
import { servePulls } from "./pull-service.ts";
import type { ManifestSource } from "./resolver.ts";
import type { TreeExchangeOptions } from "./tree-exchange.ts";
import type {
  FailedHost,
  FailedTry,
  GetManifest,
  HandedManifest,
  ManifestRequest,
  PullAsk,
  PullJob,
  PullProgress,
  PullWorkerCalls,
  PullWorkerLimits,
  RequestEvent,
  StagedTree,
  UnveilAsk,
} from "./worker-calls.ts";

/** Is told of a try that failed while more are to come. */
type WatchTries = (event: FailedTry) => void;

/** How long the worker is kept when no pull runs: long enough for the next pod of a batch. */
const IDLE_MS = 30_000;

/** What bounds the worker, and who hears of what it needs beside its work. */
export interface PullWorkerOptions extends PullWorkerLimits {
  /** Fetches credentials that are fetched only when their turn comes; without it there are none. */
  readonly unveil?: Unveil | undefined;
  /** For a command: its thread has nothing else to do, and another one takes a while to start. */
  readonly runsHere?: boolean;
  /** A host did not serve while others are still to be asked. */
  readonly hostFailed?: ((failure: HostFailure) => void) | undefined;
  /** A request failed while it is tried again; told is what it would say if that was all. */
  readonly onFailedTry?: ((message: string) => void) | undefined;
}

/** The thread that talks to registries and writes to the cache, as the main thread sees it. */
export class PullWorker implements ManifestSource {
  readonly #host: WorkerHost<PullWorkerCalls>;
  readonly #options: PullWorkerOptions;
  readonly #failedTries = new Map<string, string>();
  readonly #watchers = new Map<string, Set<WatchTries>>();

  constructor(clock: Clock, options: PullWorkerOptions = {}) {
    const { maxBandwidth, stallTimeoutMs } = options;
    const limits: PullWorkerLimits = { maxBandwidth, stallTimeoutMs };
    const startThread = () => startWorker("pull-worker", new URL("./pull-worker.ts", import.meta.url), limits);
    const startHere = () => serveInThisThread((port) => servePulls(port, limits, { isLastWork: true }));
    const start = options.runsHere === true ? startHere : startThread;
    this.#host = new WorkerHost({ start, idleMs: IDLE_MS, clock });
    this.#options = options;
  }

  fetchManifest(request: GetManifest): Promise<HandedManifest> {
    return this.#noting(request, (options) => this.#host.call("manifest", request, options));
  }

  headManifest(request: ManifestRequest): Promise<Digest | undefined> {
    return this.#noting(request, (options) => this.#host.call("head", request, options));
  }

  /** Makes a tree in tmp/. Rejects when all of it is let go, also after a cancel. */
  pull(job: PullJob, options: CallOptions<PullProgress | FailedTry, PullAsk>): Promise<StagedTree> {
    const onEvent = (event: PullProgress | FailedTry | FailedHost) => {
      if ("failedHost" in event) this.#options.hostFailed?.(event.failedHost);
      else {
        if ("failedTry" in event) this.#options.onFailedTry?.(event.failedTry);
        options.onEvent?.(event);
      }
    };
    const onAsk = async (ask: PullAsk | UnveilAsk) => ("unveil" in ask ? this.#unveil(ask) : options.onAsk?.(ask));
    return this.#host.call("pull", job, { ...options, onEvent, onAsk });
  }

  /** Makes a tree that is mounted what a staged one is (`exchangeTree`). */
  async exchange(exchange: TreeExchangeOptions): Promise<void> {
    await this.#host.call("exchange", exchange);
  }

  /** The last try at a repository's manifests that failed while more are to come; undefined when none did. */
  failedTry(repository: Pick<Repository, "registry" | "repository">): string | undefined {
    return this.#failedTries.get(nameOf(repository));
  }

  /** Tells a watcher of each such try from now on, and of the last one; what is returned ends that. */
  watchTries(repository: Pick<Repository, "registry" | "repository">, watcher: WatchTries): () => void {
    const name = nameOf(repository);
    const watchers = this.#watchers.get(name) ?? new Set();
    this.#watchers.set(name, watchers.add(watcher));
    const failedTry = this.#failedTries.get(name);
    if (failedTry !== undefined) watcher({ failedTry });
    return () => {
      watchers.delete(watcher);
      if (watchers.size === 0 && this.#watchers.get(name) === watchers) this.#watchers.delete(name);
    };
  }

  async close(): Promise<void> {
    await this.#host.close();
  }

  async #noting<T>(
    { repository }: ManifestRequest,
    run: (options: CallOptions<RequestEvent, UnveilAsk>) => Promise<T>,
  ): Promise<T> {
    const onEvent = (event: RequestEvent) => {
      if ("failedHost" in event) this.#options.hostFailed?.(event.failedHost);
      else {
        this.#failedTries.set(nameOf(repository), event.failedTry);
        for (const watch of this.#watchers.get(nameOf(repository)) ?? []) watch(event);
        this.#options.onFailedTry?.(event.failedTry);
      }
    };
    try {
      return await run({ onEvent, onAsk: (ask) => this.#unveil(ask) });
    } finally {
      this.#failedTries.delete(nameOf(repository));
    }
  }

  async #unveil({ unveil, isFresh }: UnveilAsk) {
    if (this.#options.unveil !== undefined) return await this.#options.unveil(unveil, isFresh);
    return { credentials: [], isReused: false, problem: undefined };
  }
}

/** A failure names the repository: it is told to those only who asked for that one themselves. */
function nameOf({ registry, repository }: Pick<Repository, "registry" | "repository">): string {
  return `${registry}/${repository}`;
}
