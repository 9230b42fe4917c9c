import { type CallOptions, type Clock, startWorker, WorkerHost } from "../base/index.ts";
import type { Digest } from "../oci/index.ts";
import type { Repository } from "../registry/index.ts";
import type { ManifestSource } from "./resolver.ts";
import type { TreeExchangeOptions } from "./tree-exchange.ts";
import type {
  FailedTry,
  GetManifest,
  HandedManifest,
  ManifestRequest,
  PullAsk,
  PullJob,
  PullProgress,
  PullWorkerCalls,
  StagedTree,
} from "./worker-calls.ts";

/** How long the worker is kept when no pull runs: long enough for the next pod of a batch. */
const IDLE_MS = 30_000;

/** The thread that talks to registries and writes to the cache, as the main thread sees it. */
export class PullWorker implements ManifestSource {
  readonly #host: WorkerHost<PullWorkerCalls>;
  readonly #failedTries = new Map<string, string>();

  constructor(clock: Clock) {
    const start = () => startWorker("pull-worker", new URL("./pull-worker.ts", import.meta.url), undefined);
    this.#host = new WorkerHost({ start, idleMs: IDLE_MS, clock });
  }

  fetchManifest(request: GetManifest): Promise<HandedManifest> {
    return this.#noting(request, (onEvent) => this.#host.call("manifest", request, { onEvent }));
  }

  headManifest(request: ManifestRequest): Promise<Digest | undefined> {
    return this.#noting(request, (onEvent) => this.#host.call("head", request, { onEvent }));
  }

  /** Makes a tree in tmp/. Rejects when all of it is let go, also after a cancel. */
  pull(job: PullJob, options: CallOptions<PullProgress | FailedTry, PullAsk>): Promise<StagedTree> {
    return this.#host.call("pull", job, options);
  }

  /** Makes a tree that is mounted what a staged one is (`exchangeTree`). */
  async exchange(exchange: TreeExchangeOptions): Promise<void> {
    await this.#host.call("exchange", exchange);
  }

  /** The last try at a repository's manifests that failed while more are to come; undefined when none did. */
  failedTry(repository: Pick<Repository, "registry" | "repository">): string | undefined {
    return this.#failedTries.get(nameOf(repository));
  }

  async close(): Promise<void> {
    await this.#host.close();
  }

  async #noting<T>(
    { repository }: ManifestRequest,
    run: (onEvent: (event: FailedTry) => void) => Promise<T>,
  ): Promise<T> {
    try {
      return await run(({ failedTry }) => {
        if (failedTry !== undefined) this.#failedTries.set(nameOf(repository), failedTry);
      });
    } finally {
      this.#failedTries.delete(nameOf(repository));
    }
  }
}

/** A failure names the repository: it is told to those only who asked for that one themselves. */
function nameOf({ registry, repository }: Pick<Repository, "registry" | "repository">): string {
  return `${registry}/${repository}`;
}
