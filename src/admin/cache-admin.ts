import type { Artifacts } from "../artifact/index.ts";
import { DriverError } from "../base/index.ts";
import { type Cache, sumOfUses, type TreeId } from "../cache/index.ts";
import { describeFault, type Fault, type Verifier } from "../verify/index.ts";
import type { VolumeRecord } from "../volume/index.ts";
import type {
  Admin,
  AdminCallName,
  AdminCallOptions,
  AdminCalls,
  DiskReport,
  PruneArgument,
  PruneReport,
  PullArgument,
  PulledTree,
  ToldFault,
  TreeOutcome,
  TreesArgument,
  VerifyOutcome,
} from "./admin.ts";
import { listTrees, listVolumes } from "./listing.ts";
import { findNamedTrees, type NamedTree } from "./named-trees.ts";

/** What administration works on; whoever made it holds the data dir's lock. */
export interface CacheAdminOptions {
  readonly cache: Cache;
  readonly artifacts: Pick<Artifacts, "mendAll">;
  /** Undefined where nothing can be pulled. */
  readonly puller?: Pick<Artifacts, "pull"> | undefined;
  readonly verifier: Verifier;
  /** What is published; each holds a lease of its tree. */
  readonly volumes: () => readonly VolumeRecord[];
}

type Handlers = {
  readonly [Name in AdminCallName]: (
    argument: AdminCalls[Name]["argument"],
    options: AdminCallOptions<AdminCalls[Name]["progress"]>,
  ) => Promise<AdminCalls[Name]["result"]>;
};

/** How many holders of a tree are named. */
const MOST_HOLDERS = 10;

/** Looks into a cache, and does to it what people ask for: never to a tree that a volume has. */
export class CacheAdmin implements Admin {
  readonly #options: CacheAdminOptions;
  readonly #handlers: Handlers = {
    list: () => listTrees(this.#options.cache, this.#options.volumes()),
    volumes: async () => listVolumes(this.#options.volumes()),
    measure: (_, { signal }) => this.#measure(signal),
    prune: (argument) => this.#prune(argument),
    verify: ({ repair }, options) => this.#verify(repair, options),
    remove: (argument) => this.#forEach(argument, (tree) => this.#remove(tree)),
    pin: (argument) => this.#forEach(argument, (tree) => this.#pin(tree)),
    unpin: (argument) => this.#forEach(argument, (tree) => this.#unpin(tree)),
    pull: (argument, options) => this.#pull(argument, options),
  };

  constructor(options: CacheAdminOptions) {
    this.#options = options;
  }

  /** Answers a call. Throws "refused" for a data dir of a newer format, "bad-input" for a call that there is not. */
  async call<Name extends AdminCallName>(
    name: Name,
    argument: AdminCalls[Name]["argument"],
    options: AdminCallOptions<AdminCalls[Name]["progress"]>,
  ): Promise<AdminCalls[Name]["result"]> {
    if (!Object.hasOwn(this.#handlers, name)) throw new DriverError("bad-input", `there is no call ${name}`);
    this.#options.cache.dataDir.requireOwnFormat();
    return this.#handlers[name](argument, options);
  }

  async #measure(signal: AbortSignal): Promise<DiskReport> {
    const { cache, verifier } = this.#options;
    const kinds = await verifier.measure(signal);
    const { fileSystem } = await cache.collector.usage();
    return { kinds, total: sumOfUses(kinds), fileSystem };
  }

  async #prune({ all, unusedMs }: PruneArgument): Promise<PruneReport> {
    const { inventory, pins, collector } = this.#options.cache;
    await inventory.load();
    const wanted = inventory.byLastUse().filter(({ id }) => inventory.unusedMs(id) >= (unusedMs ?? 0));
    // Some may be of trees whose records are lost.
    const kept = unusedMs === null ? pins.all() : wanted.map(({ id }) => id).filter((id) => pins.isPinned(id));
    if (all) for (const id of kept) await pins.unpin(id);
    let [trees, freedBytes] = [0, 0];
    if (unusedMs === null) ({ trees, bytes: freedBytes } = await collector.prune());
    else {
      for (const { id } of wanted) {
        const { outcome, freed } = await collector.evict(id, "prune");
        if (outcome === "evicted") trees++;
        freedBytes += freed.bytes;
      }
    }
    return { trees, freedBytes, left: inventory.size };
  }

  async #verify(repair: boolean, { signal, onProgress }: AdminCallOptions<AdminCalls["verify"]["progress"]>) {
    const { verifier, artifacts } = this.#options;
    const watch = onProgress === undefined ? {} : { onProgress };
    const { counts, faults } = await verifier.verify({ movesAside: repair, signal, ...watch });
    // Only then is known what stays damaged.
    const { mended, left } = repair ? await artifacts.mendAll(signal) : { mended: [], left: [] };
    const all = [...faults, ...(await verifier.standingDamage(faults))];
    return { counts, faults: all.map(toldFault), mended, left } satisfies VerifyOutcome;
  }

  async #pull({ namespace, ...wanted }: PullArgument, options: AdminCallOptions<AdminCalls["pull"]["progress"]>) {
    const { puller, cache } = this.#options;
    if (puller === undefined) throw new DriverError("bad-input", "only a driver answers the call pull");
    const { signal, onProgress = () => undefined, whileHeld } = options;
    const { reference, transport } = wanted;
    const { registry, repository } = reference;
    for (;;) {
      const { id } = await puller.pull(wanted, { signal, onEvent: onProgress });
      using _ = await cache.leases.hold(id);
      const tree = await cache.trees.find(id);
      // It may have been collected before it was held.
      if (tree === undefined) continue;
      cache.inventory.touch(id);
      if (namespace !== null) await cache.references.allow({ registry, repository, transport }, namespace);
      const { manifest, bytes, inodes } = tree;
      const pulled: PulledTree = { id, manifest, bytes, inodes };
      await whileHeld?.(pulled);
      return pulled;
    }
  }

  async #forEach({ trees }: TreesArgument, work: (tree: NamedTree) => Promise<Omit<TreeOutcome, keyof NamedTree>>) {
    const outcomes: TreeOutcome[] = [];
    for (const tree of await findNamedTrees(this.#options.cache, trees))
      outcomes.push({ ...tree, ...(await work(tree)) });
    return outcomes;
  }

  async #remove({ id }: NamedTree): Promise<Omit<TreeOutcome, keyof NamedTree>> {
    const { outcome, freed } = await this.#options.cache.collector.evict(id, "removed");
    const told = ({ evicted: "removed", leased: "leased", pinned: "pinned", unknown: "gone" } as const)[outcome];
    return { outcome: told, holders: outcome === "leased" ? this.#holdersOf(id) : [], freedBytes: freed.bytes };
  }

  async #pin({ id }: NamedTree): Promise<Omit<TreeOutcome, keyof NamedTree>> {
    const { leases, inventory, pins } = this.#options.cache;
    using _ = await leases.hold(id);
    const isThere = inventory.get(id) !== undefined;
    if (isThere) await pins.pin(id);
    return { outcome: isThere ? "pinned" : "gone", holders: [], freedBytes: 0 };
  }

  async #unpin({ id }: NamedTree): Promise<Omit<TreeOutcome, keyof NamedTree>> {
    await this.#options.cache.pins.unpin(id);
    return { outcome: "unpinned", holders: [], freedBytes: 0 };
  }

  #holdersOf(id: TreeId): readonly string[] {
    const own = this.#options.volumes().filter(({ tree }) => tree === id);
    const names = own.map(({ namespace, pod, volumeId }) => `${namespace}/${pod ?? `volume ${volumeId}`}`);
    const more = names.length > MOST_HOLDERS ? [`${names.length - MOST_HOLDERS} more`] : [];
    return names.length === 0 ? ["a pull or a publish under way"] : [...names.slice(0, MOST_HOLDERS), ...more];
  }
}

function toldFault(fault: Fault): ToldFault {
  const says = describeFault(fault);
  return fault.kind === "tree" ? { kind: fault.kind, says, tree: fault.id } : { kind: fault.kind, says };
}
