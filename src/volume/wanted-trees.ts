import type { ArtifactRequest, Artifacts, LeasedTree } from "../artifact/index.ts";
import type { Cache, Lease, Tree } from "../cache/index.ts";
import type { Platform } from "../oci/index.ts";
import type { RecordDraft } from "./record-draft.ts";
import type { Records } from "./records.ts";
import type { PublishRequest } from "./volume-service.ts";
import { recordOf, type WantedVolume } from "./wanted-volume.ts";

/** What finding trees for volumes needs. */
export interface WantedTreesOptions {
  readonly artifacts: Pick<Artifacts, "cached" | "link" | "took" | "present">;
  readonly cache: Cache;
  readonly records: Records;
  /** The node's own. */
  readonly platform: Platform;
  /** Blobs at once in one pull, where a volume does not say. */
  readonly concurrency: number;
}

/** A tree that the cache has for a volume. */
export interface Found {
  readonly tree: Tree;
  /** To be awaited before the tree is mounted: what the cache notes of who has it. */
  readonly take: () => Promise<void>;
  /** Lets people find the tree by what the volume calls it. Never rejects. */
  readonly link: () => Promise<void>;
  readonly lease: Lease;
}

/** Finds the trees that volumes want, in the cache or by a pull. */
export class WantedTrees {
  readonly #options: WantedTreesOptions;

  constructor(options: WantedTreesOptions) {
    this.#options = options;
  }

  /** What the cache has for a volume that no writes bind to an older tree; its record is begun then. Never rejects. */
  async findCached(wanted: WantedVolume, request: PublishRequest, draft: RecordDraft): Promise<Found | undefined> {
    const { artifacts, records } = this.#options;
    const before = records.get(wanted.key);
    if (before?.readOnly === false) return undefined;
    const asked = this.#artifactRequest(wanted, request);
    const found = await artifacts.cached(asked);
    if (found === undefined) return undefined;
    const { tree, lease } = found;
    if (before === undefined) draft.expect(wanted.readOnly ? recordOf(wanted, tree) : undefined);
    return { tree, lease, take: () => artifacts.took(asked, tree), link: () => artifacts.link(asked, tree) };
  }

  /** The tree, under a lease, pulled if need be. It may have been evicted between the two: then it is made once more. */
  async present(wanted: WantedVolume, request: PublishRequest): Promise<LeasedTree> {
    const { leases, trees } = this.#options.cache;
    for (;;) {
      const below = await this.#treeBelow(wanted);
      // Unpublished meanwhile: what it wanted was given up already, so nothing new may be wanted for it.
      request.signal.throwIfAborted();
      const isSound = below !== undefined && below.damage === undefined;
      const tree = isSound ? below : await this.#presentOver(below, wanted, request);
      const lease = await leases.hold(tree.id);
      let isThere = false;
      try {
        isThere = await trees.isThere(tree.id);
      } finally {
        if (!isThere) lease.release();
      }
      if (isThere) return { tree, lease };
    }
  }

  /** The tree that a writable volume's upper layer was written over: it means nothing over another one. */
  async #treeBelow({ key }: WantedVolume): Promise<Tree | undefined> {
    const { records, cache } = this.#options;
    const record = records.get(key);
    if (record?.tree === undefined || record.readOnly) return undefined;
    cache.dataDir.requireOwnFormat();
    return cache.trees.find(record.tree);
  }

  /**
   * Makes a tree present; a damaged one below what was written is mended by that. The reference may mean another tree by
   * now: what was written belongs over the old one all the same.
   */
  async #presentOver(below: Tree | undefined, wanted: WantedVolume, request: PublishRequest): Promise<Tree> {
    const made = await this.#options.artifacts.present(this.#artifactRequest(wanted, request), request);
    return below === undefined || made.id === below.id ? made : below;
  }

  #artifactRequest({ spec, pod, key }: WantedVolume, { secrets }: PublishRequest): ArtifactRequest {
    const { platform, concurrency } = this.#options;
    return {
      volume: key,
      namespace: pod.namespace,
      reference: spec.reference,
      transport: spec.transport,
      selection: spec.selection,
      platform: spec.platform ?? platform,
      policy: spec.policy,
      concurrency: spec.concurrency ?? concurrency,
      secrets,
    };
  }
}
