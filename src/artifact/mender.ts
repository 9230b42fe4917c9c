import { describeError, type Logger, type Memory, Semaphore } from "../base/index.ts";
import type { Cache, TreeId } from "../cache/index.ts";
import type { PullWorker } from "./pull-worker-host.ts";
import { readPlan } from "./read-plan.ts";
import { recipeFromJson } from "./tree-recipe.ts";

/** What mending needs. */
export interface MenderOptions {
  readonly cache: Cache;
  readonly worker: PullWorker;
  readonly maxUnpackRatio: number;
  readonly memory: Memory;
  readonly log: Logger;
}

/** A damaged tree that stays so for now. */
export interface LeftTree {
  readonly id: TreeId;
  readonly why: string;
}

/** What became of the damaged trees. */
export interface MendReport {
  readonly mended: readonly TreeId[];
  readonly left: readonly LeftTree[];
}

/**
 * Puts damaged trees together again from blobs and layers of the cache that are whole, without any registry. Those that
 * lack something stay damaged: the next publish that may fetches it.
 */
export class Mender {
  readonly #options: MenderOptions;
  readonly #one = new Semaphore(1);

  constructor(options: MenderOptions) {
    this.#options = options;
  }

  /** Mends what can be mended; `signal` ends it between two trees or within one. */
  async mendAll(signal: AbortSignal): Promise<MendReport> {
    const { cache, log } = this.#options;
    const [mended, left]: [TreeId[], LeftTree[]] = [[], []];
    const done = await this.#one.acquire(signal);
    try {
      for (const id of await cache.trees.ids()) {
        signal.throwIfAborted();
        if (!(await this.#isDamaged(id))) continue;
        try {
          await this.#mend(id, signal);
          mended.push(id);
          log.info("a damaged tree was put together again", { tree: id });
        } catch (error) {
          signal.throwIfAborted();
          left.push({ id, why: describeError(error) });
        }
      }
    } finally {
      done();
    }
    return { mended, left };
  }

  /** A folder that is gone is damage, too; a tree that was evicted meanwhile has no record either. */
  async #isDamaged(id: TreeId): Promise<boolean> {
    const { trees } = this.#options.cache;
    const tree = await trees.find(id);
    return tree === undefined ? (await trees.record(id)) !== undefined : tree.damage !== undefined;
  }

  async #mend(id: TreeId, signal: AbortSignal): Promise<void> {
    const { cache, worker, maxUnpackRatio, memory } = this.#options;
    const record = await cache.trees.record(id);
    const recipe = recipeFromJson(record?.recipe);
    if (record === undefined || recipe === undefined) throw new Error("its record does not say what it was made from");
    const { reference, repository, selection } = recipe;
    const { manifest } = record;
    using _ = await cache.leases.holdAll([id, manifest, ...record.layers]);
    const { layers } = await readPlan({ cache, memory, reference, manifest, selection });
    await cache.withStaging(async (staging) => {
      const { bytes, inodes, folder } = await worker.pull(
        {
          repository,
          credentials: [],
          caCertificates: [],
          dataDir: cache.layout.dataDir,
          staging,
          reference,
          layers,
          unproven: [],
          enforceNamespaces: false,
          isDurable: cache.isDurable,
          concurrency: 1,
          maxUnpackRatio,
          isThorough: true,
          isForOneCaller: true,
          isOffline: true,
        },
        { signal },
      );
      const facts = { ...record, bytes, inodes };
      await cache.commitTree(id, folder, facts, (from, to) =>
        worker.exchange({ staged: from, tree: to, aside: staging }),
      );
    });
  }
}
