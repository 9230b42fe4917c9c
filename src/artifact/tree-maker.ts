import { type Clock, DriverError, type Logger, type Memory } from "../base/index.ts";
import type { Cache, FileSample, Lease, Tree } from "../cache/index.ts";
import { formatReference } from "../oci/index.ts";
import { answerPull } from "./answer-pull.ts";
import { diskErrorFrom } from "./disk-error.ts";
import { downloadOrigin } from "./download-origin.ts";
import { GivenContent } from "./given-content.ts";
import { MANY_LAYERS } from "./large-work.ts";
import { copiedBytes } from "./mode-copies.ts";
import { formOf, type PlacedLayer } from "./placed-layer.ts";
import { PlanMaker, type TreeRequest } from "./plan-maker.ts";
import type { PullWork, RunningPull } from "./pull.ts";
import { requireSettled, withPullRoom } from "./pull-room.ts";
import type { PullWorker } from "./pull-worker-host.ts";
import type { ReadPlan } from "./read-plan.ts";
import { requireSize } from "./require-size.ts";
import type { ResolveRequest } from "./resolver.ts";
import { treeIdOf } from "./selection.ts";
import { recipeToJson } from "./tree-recipe.ts";
import type { PullAsk } from "./worker-calls.ts";

/** Each sample is looked at with each publish. */
const MOST_SAMPLES = 8;
const LONGEST_SAMPLE = 1000;

/** Which tree is wanted, and for which repository's volumes. */
export interface WantedTree extends Pick<TreeRequest, "resolved" | "selection"> {
  readonly resolving: Pick<ResolveRequest, "repository">;
}

/** What making trees needs from outside. */
export interface TreeMakerOptions {
  readonly cache: Cache;
  readonly worker: PullWorker;
  /** Whether bytes in the cache count only for the repositories that gave them. */
  readonly enforceNamespaces: boolean;
  readonly maxUnpackRatio: number;
  /** Of the layers that are wanted, together. */
  readonly maxArtifactBytes?: number | undefined;
  readonly memory: Memory;
  readonly clock: Clock;
  readonly log: Logger;
  /** A damaged tree was mended: others may have been waiting for the same bytes. */
  readonly onMended: () => void;
}

/** Finds trees that a repository's volumes may have, and makes those that are missing. */
export class TreeMaker {
  readonly #options: TreeMakerOptions;
  readonly #given: GivenContent;
  readonly #plans: PlanMaker;

  constructor(options: TreeMakerOptions) {
    this.#options = options;
    this.#given = new GivenContent(options);
    this.#plans = new PlanMaker({ ...options, given: this.#given });
  }

  /** As `find`, under a lease that was taken before: what was seen stays true. */
  async findLeased(wanted: WantedTree): Promise<{ readonly tree: Tree; readonly lease: Lease } | undefined> {
    const lease = await this.#options.cache.leases.hold(treeIdOf(wanted.resolved.digest, wanted.selection));
    let tree: Tree | undefined;
    try {
      tree = await this.find(wanted);
    } finally {
      if (tree === undefined) lease.release();
    }
    return tree && { tree, lease };
  }

  /** The tree, if it is there and whole, and this repository once gave all that it is made of. */
  async find({ resolving, resolved, selection }: WantedTree): Promise<Tree | undefined> {
    const id = treeIdOf(resolved.digest, selection);
    if (!(await this.#given.has(resolving.repository, id))) return undefined;
    const tree = await this.#options.cache.trees.find(id);
    return tree?.damage === undefined ? tree : undefined;
  }

  /** The work that makes the tree. Throws "refused" at once for what cannot be one, "not-found" if it may not be fetched. */
  async plan(request: TreeRequest): Promise<PullWork> {
    const { memory, log } = this.#options;
    const { resolving } = request;
    const reference = formatReference(resolving.reference);
    await this.#plans.use(request, async (plan) => {
      if (plan.layers.length === 0) log.warn("no layer is left: the volume will be empty", { reference });
      if (plan.skipped > 0)
        log.info("layers with neither a title nor a known meaning are left out", { reference, layers: plan.skipped });
      requireSize(reference, plan.layers, this.#options.maxArtifactBytes);
      if (resolving.policy === "Never") await this.#requireCached(resolving, plan.layers);
    });
    // What this volume offers is not kept for longer than it wants the tree.
    const bare = { ...request, resolving: { ...resolving, hosts: undefined, credentials: [] } };
    return async (pull) => {
      try {
        await this.#options.cache.dataDir.ensureFolders();
        const { hosts, credentials = [] } = (await pull.offer()) ?? {};
        const offered = { ...bare, resolving: { ...bare.resolving, hosts, credentials } };
        // Made again: a plan may be large, and many pulls may wait for their turn.
        const plan = await this.#plans.use(offered, async (made) => made, pull);
        if (plan.layers.length > MANY_LAYERS) await memory.trim();
        return await this.#makeWithRoom(offered, plan, pull);
      } catch (error) {
        throw diskErrorFrom(error, `pull ${reference}`);
      } finally {
        memory.collectIfGrown();
        await memory.trim();
      }
    };
  }

  #makeWithRoom(request: TreeRequest, plan: ReadPlan, pull: RunningPull): Promise<Tree> {
    const { layers, config } = plan;
    const { cache, enforceNamespaces, clock, log } = this.#options;
    const { resolving, resolved, selection } = request;
    const reference = formatReference(resolving.reference);
    const treeId = treeIdOf(resolved.digest, selection);
    const documents = [resolved.digest, ...(config ? [config.digest] : [])];
    const origin = downloadOrigin({ repository: resolving.repository, enforceNamespaces });
    const room = { cache, clock, log, reference, treeId, origin, documents, layers, onEvent: pull.onEvent };
    return withPullRoom(room, (onEvent) =>
      this.#make(request, plan, { ...pull, onEvent }).catch((error: unknown) => {
        throw diskErrorFrom(error, `pull ${reference}`);
      }),
    );
  }

  /**
   * Fetches what the cache lacks and what this repository has not given yet (that copy is dropped: it only proves that
   * the repository has the bytes), then puts the tree together, unless another repository's pull did so.
   */
  async #make(request: TreeRequest, plan: ReadPlan, pull: RunningPull): Promise<Tree> {
    const { layers, config } = plan;
    const { resolving, resolved, selection, concurrency } = request;
    const { cache, worker, enforceNamespaces, maxUnpackRatio, memory, log } = this.#options;
    const { repository, hosts, credentials, caCertificates } = resolving;
    const { dataDir } = cache.layout;
    const reference = formatReference(resolving.reference);
    const treeId = treeIdOf(resolved.digest, selection);
    const unproven = await this.#given.unproven(repository, layers);
    const access = { repository, hosts, credentials, caCertificates };
    const damage = (await cache.trees.find(treeId))?.damage;
    if (damage !== undefined) log.warn("the tree in the cache is damaged: it is made anew", { reference, damage });
    const how = {
      enforceNamespaces,
      isDurable: cache.isDurable,
      concurrency,
      maxUnpackRatio,
      isThorough: damage !== undefined,
      isForOneCaller: pull.isForOneCaller === true,
      isOffline: resolving.policy === "Never",
    };
    const tree = await cache.withStaging(async (staging) => {
      const job = { ...access, ...how, dataDir, staging, reference, layers, unproven };
      const { signal, onEvent } = pull;
      const onAsk = (ask: PullAsk) => answerPull(ask, { cache, memory, repository, reference, pull });
      const { bytes, inodes, skippedEntries, refetched, folder } = await worker.pull(job, { signal, onEvent, onAsk });
      memory.collectIfGrown();
      for (const layer of refetched)
        log.error("an unpacked layer in the cache was not whole any more: it was fetched anew", { reference, layer });
      if (skippedEntries > 0)
        log.warn("devices, FIFOs and sockets in the artifact are left out", { reference, entries: skippedEntries });
      await requireSettled(cache, reference, layers);
      const digests = new Set([
        ...layers.map(({ descriptor }) => descriptor.digest),
        ...(config ? [config.digest] : []),
      ]);
      const recipe = recipeToJson({ reference, repository, selection });
      const facts = {
        manifest: resolved.digest,
        bytes,
        inodes,
        copiedBytes: copiedBytes(layers),
        layers: [...digests],
        files: samplesOf(layers),
        references: [reference],
        recipe,
      };
      return cache.commitTree(treeId, folder, facts, (from, to) =>
        worker.exchange({ staged: from, tree: to, aside: staging }),
      );
    });
    if (damage !== undefined) this.#options.onMended();
    // Where nobody asks whose bytes they are, nothing was proven of them.
    if (enforceNamespaces) await cache.references.rememberGiven(repository, treeId);
    return tree;
  }

  async #requireCached(resolving: ResolveRequest, layers: readonly PlacedLayer[]): Promise<void> {
    for (const { descriptor, kind } of layers) {
      const isThere = await this.#options.cache.hasContent(descriptor, formOf(kind));
      if (isThere && (await this.#given.has(resolving.repository, descriptor.digest))) continue;
      throw new DriverError(
        "not-found",
        `layer ${descriptor.digest} of ${formatReference(resolving.reference)} is not in this node's cache ` +
          "from this repository, and oras.options.pullpolicy is Never",
      );
    }
  }
}

/** Some of a tree's files, to be looked at whenever it is used: enough to notice that somebody cut or removed some. */
function samplesOf(layers: readonly PlacedLayer[]): readonly FileSample[] {
  const files = layers.filter(({ kind, path }) => kind === "file" && path.length < LONGEST_SAMPLE);
  return files.slice(0, MOST_SAMPLES).map(({ path, descriptor: { size } }) => ({ path, size }));
}
