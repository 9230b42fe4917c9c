import { allEnded, type KeyedLock } from "../base/index.ts";
import type { Tree } from "../cache/index.ts";
import type { HeldFolder } from "../mount/index.ts";
import type { Propagation } from "./propagation.ts";
import type { RecordDraft } from "./record-draft.ts";
import type { RecordedMounts } from "./recorded-mounts.ts";
import { checkTarget } from "./target.ts";
import type { Targets } from "./targets.ts";
import type { PublishOutcome, PublishRequest } from "./volume-service.ts";
import type { WantedVolume } from "./wanted-volume.ts";
import type { Found, WantedTrees } from "./wanted-trees.ts";

/** What publishing needs. */
export interface PublishingOptions {
  readonly trees: WantedTrees;
  readonly mounts: RecordedMounts;
  readonly targets: Targets;
  readonly propagation: Propagation;
  /** By target path. */
  readonly locks: KeyedLock;
}

/** What a publish begins before it knows much. */
export interface Begun {
  /** The one above the target. */
  readonly folder: HeldFolder | undefined;
  readonly draft: RecordDraft;
}

/** The same once the tree is looked for. */
interface Approach extends Begun {
  readonly finding: Promise<Found | undefined>;
}

/** Makes what a volume wants present, and visible at its target. */
export class Publishing {
  readonly #options: PublishingOptions;

  constructor(options: PublishingOptions) {
    this.#options = options;
  }

  /**
   * Publishes a volume: at once if the cache has its tree, else after a pull, for which the target is not locked. What
   * was begun is dropped before the pull.
   */
  async run(wanted: WantedVolume, request: PublishRequest, { folder, draft }: Begun): Promise<PublishOutcome> {
    const { trees, locks } = this.#options;
    const { targetPath } = wanted;
    const { signal } = request;
    const finding = trees.findCached(wanted, request, draft);
    try {
      // Who waits for the lock finds, perhaps, that kubelet has made the folder anew.
      const held = locks.isHeld(targetPath) ? undefined : folder;
      const publish = () => this.#publishCached(wanted, request, { finding, folder: held, draft });
      const outcome = await locks.run(targetPath, publish, signal);
      if (outcome !== undefined) return outcome;
    } finally {
      folder?.[Symbol.dispose]();
      await finding.then((found) => found?.lease.release());
      await draft.drop();
    }
    const { tree, lease } = await trees.present(wanted, request);
    using _ = lease;
    return await locks.run(targetPath, () => this.#mount(wanted, tree, request), signal);
  }

  /**
   * Mounts a tree that the cache has. Undefined if something has to be asked or fetched first, which is not waited for under
   * the lock; throws "refused" where nothing can be done either.
   */
  async #publishCached(
    wanted: WantedVolume,
    request: PublishRequest,
    { finding, folder, draft }: Approach,
  ): Promise<PublishOutcome | undefined> {
    const { targets, propagation, mounts } = this.#options;
    const { targetPath } = wanted;
    const look = await targets.look(wanted, request, folder);
    if (look === "published") return "unchanged";
    await propagation.require(targetPath, look.folder);
    if (look.isThere || look.folder === undefined) await checkTarget(targetPath);
    const found = await finding;
    if (found === undefined) return undefined;
    request.signal.throwIfAborted();
    const file = await draft.file;
    // Before the mount: if it fails, nothing of the volume is there yet.
    await found.take();
    const mounting = mounts.make(wanted, found.tree, file);
    await allEnded([mounting, found.link()]);
    return "published";
  }

  async #mount(wanted: WantedVolume, tree: Tree, request: PublishRequest): Promise<PublishOutcome> {
    const { targets, mounts } = this.#options;
    request.signal.throwIfAborted();
    if ((await targets.look(wanted, request)) === "published") return "unchanged";
    await mounts.make(wanted, tree);
    return "published";
  }
}
