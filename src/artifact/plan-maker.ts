import { type Memory, Semaphore } from "../base/index.ts";
import type { Cache } from "../cache/index.ts";
import { formatReference } from "../oci/index.ts";
import { answerPull } from "./answer-pull.ts";
import { diskErrorFrom } from "./disk-error.ts";
import type { GivenContent } from "./given-content.ts";
import type { PlacedLayer } from "./placed-layer.ts";
import type { RunningPull } from "./pull.ts";
import type { PullWorker } from "./pull-worker-host.ts";
import { MissingConfig, type ReadPlan, readPlan } from "./read-plan.ts";
import type { Resolved, ResolveRequest } from "./resolver.ts";
import { revokeIfRefused } from "./revoke-if-refused.ts";
import type { Selection } from "./selection.ts";
import type { PullAsk } from "./worker-calls.ts";

/** What a tree is made from, and for whom. */
export interface TreeRequest {
  readonly resolving: ResolveRequest;
  readonly resolved: Resolved;
  readonly selection: Selection;
  /** Blobs at once. */
  readonly concurrency: number;
}

/** What plans are made with. */
export interface PlanMakerOptions {
  readonly cache: Cache;
  readonly worker: PullWorker;
  readonly given: GivenContent;
  readonly enforceNamespaces: boolean;
  readonly maxUnpackRatio: number;
  readonly memory: Memory;
}

/** Makes the plans of trees: which layer becomes which files. */
export class PlanMaker {
  readonly #options: PlanMakerOptions;
  /** One after the other: a manifest may be large. */
  readonly #planning = new Semaphore(1);

  constructor(options: PlanMakerOptions) {
    this.#options = options;
  }

  /**
   * Makes the plan and lends it, one at a time. Layers of some kinds are named by the artifact's config, which this
   * repository must have given, too: what is lacking is fetched before, while others have their turn.
   */
  async use<T>(request: TreeRequest, work: (plan: ReadPlan) => Promise<T>, pull?: RunningPull): Promise<T> {
    for (let lacked: MissingConfig | undefined; ; ) {
      const done = await this.#planning.acquire();
      try {
        const plan = await this.#planOf(request);
        if (!(plan instanceof MissingConfig)) return await work(plan);
        if (lacked !== undefined) throw plan;
        lacked = plan;
      } finally {
        done();
      }
      await this.#fetchConfig(request, lacked.config, pull);
    }
  }

  /** The plan, or which config has to be fetched for it. */
  async #planOf({ resolving, resolved, selection }: TreeRequest): Promise<ReadPlan | MissingConfig> {
    const { cache, memory } = this.#options;
    const reference = formatReference(resolving.reference);
    try {
      const plan = await readPlan({ cache, memory, reference, manifest: resolved.digest, selection });
      const { config } = plan;
      if (config === undefined || (await this.#options.given.has(resolving.repository, config.digest))) return plan;
      return new MissingConfig(reference, config);
    } catch (error) {
      if (error instanceof MissingConfig) return error;
      throw error;
    }
  }

  /**
   * A pull of the config alone, whose tree is thrown away. Within a pull it is asked for with what its volumes offer: each
   * answers for its own refusal.
   */
  async #fetchConfig(
    { resolving }: TreeRequest,
    config: PlacedLayer["descriptor"],
    pull: RunningPull | undefined,
  ): Promise<void> {
    const { cache, worker, enforceNamespaces, maxUnpackRatio, memory, given } = this.#options;
    const { repository, hosts, credentials, caCertificates, policy } = resolving;
    const reference = formatReference(resolving.reference);
    const layers = [{ kind: "file", descriptor: config, path: "config", uncompressedDigest: undefined }] as const;
    const how = {
      enforceNamespaces,
      isDurable: cache.isDurable,
      maxUnpackRatio,
      concurrency: 1,
      isThorough: false,
      isForOneCaller: pull === undefined || pull.isForOneCaller === true,
      isOffline: policy === "Never",
    };
    const unproven = await given.unproven(repository, layers);
    const fetch = (staging: string) => {
      const from = { repository, hosts, credentials, caCertificates, dataDir: cache.layout.dataDir };
      const job = { ...from, ...how, staging, reference, layers, unproven };
      const onAsk = (ask: PullAsk) => answerPull(ask, { cache, memory, repository, reference, pull });
      return worker.pull(job, { onAsk, ...(pull && { signal: pull.signal }) });
    };
    try {
      await cache.room.write(() => cache.withStaging(fetch));
    } catch (error) {
      if (pull === undefined) await revokeIfRefused(cache.references, resolving, error);
      throw diskErrorFrom(error, `pull ${reference}`);
    }
  }
}
