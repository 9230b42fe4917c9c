import { randomUUID } from "node:crypto";
import { type Clock, DriverError, describeError, type Logger, type Memory } from "../base/index.ts";
import type { Cache, Lease, Tree } from "../cache/index.ts";
import { formatReference, type Platform, type Reference } from "../oci/index.ts";
import { credentialsFromSecrets, type Transport, untilAborted } from "../registry/index.ts";
import { checkAllowed } from "./allowed-registries.ts";
import { type CallerPull, resolveForCaller } from "./caller-pull.ts";
import type { CredentialFinder } from "./credential-finder.ts";
import { Mender, type MendReport } from "./mender.ts";
import { type Patience, waitPatiently } from "./patience.ts";
import { Pull } from "./pull.ts";
import type { PullObserver } from "./pull-observer.ts";
import type { PullWorker } from "./pull-worker-host.ts";
import { Pulls, type PullWatch } from "./pulls.ts";
import { type PullPolicy, type ResolveRequest, Resolver } from "./resolver.ts";
import { revokeIfRefused } from "./revoke-if-refused.ts";
import { everything, type Selection, treeIdOf } from "./selection.ts";
import { TreeMaker } from "./tree-maker.ts";

/** What one volume wants made present. */
export interface ArtifactRequest {
  /** Names the volume among all others. */
  readonly volume: string;
  readonly namespace: string;
  readonly reference: Reference;
  readonly transport: Transport;
  readonly selection: Selection;
  readonly platform: Platform;
  readonly policy: PullPolicy;
  /** Blobs at once. */
  readonly concurrency: number;
  /** The pod's secret, as kubelet passes it. */
  readonly secrets: Readonly<Record<string, string>>;
}

/** A tree that is there, and what keeps it there. */
export interface LeasedTree {
  readonly tree: Tree;
  readonly lease: Lease;
}

/** What the service needs from outside. */
export interface ArtifactsOptions {
  readonly cache: Cache;
  readonly worker: PullWorker;
  readonly credentials: CredentialFinder;
  readonly enforceNamespaces: boolean;
  readonly maxPulls: number;
  readonly maxUnpackRatio: number;
  /** Of the layers that are wanted, together. */
  readonly maxArtifactBytes?: number | undefined;
  /** Globs on `registry/repository`; empty: all are allowed. */
  readonly allowRegistry: readonly string[];
  readonly memory: Memory;
  readonly clock: Clock;
  readonly log: Logger;
  readonly observer?: PullObserver | undefined;
}

/** A volume that wants something, from its first call on. */
interface Wish {
  /** Its tree was looked for: the observer knows whether it was there. */
  lookedUp: boolean;
  /** How many of its calls have found neither its tree nor its pull yet. */
  searching: number;
}

/** What is to be reached. */
interface Wanted extends Pick<ArtifactRequest, "volume" | "selection" | "concurrency"> {
  readonly resolving: Promise<ResolveRequest>;
  /** Tells a pull that nobody else may join, as it trusts certificates that others do not. */
  readonly aside?: string | undefined;
}

/** Makes references present as trees. */
export class Artifacts {
  readonly #options: ArtifactsOptions;
  readonly #resolver: Resolver;
  readonly #trees: TreeMaker;
  readonly #pulls: Pulls;
  readonly #mender: Mender;
  /** Fires when the service ends. */
  readonly #closing = new AbortController();
  #mending: Promise<unknown> = Promise.resolve();
  /** The volumes that want something, from their first call until they have it, fail for good or are unpublished. */
  readonly #wanted = new Map<string, Wish>();

  constructor(options: ArtifactsOptions) {
    const { cache, worker, enforceNamespaces, maxPulls, memory, clock, log, observer } = options;
    this.#options = options;
    this.#resolver = new Resolver({ cache, source: worker, enforceNamespaces, memory });
    this.#mender = new Mender(options);
    this.#trees = new TreeMaker({ ...options, onMended: () => this.#mendOthers() });
    this.#pulls = new Pulls({ maxPulls, clock, log, observer });
  }

  /**
   * The tree that a request means, if memory and cache say so and nobody has to be asked, not even the files that say who
   * could be. Undefined otherwise, whatever is wrong: `present` comes across it again, and tells it. Whoever uses the tree
   * calls `link` and `took`.
   */
  async cached(request: ArtifactRequest): Promise<LeasedTree | undefined> {
    try {
      return await this.#cached(request);
    } catch {
      return undefined;
    }
  }

  /** Lets people find a tree by what a volume calls it. Never rejects. */
  link({ namespace, reference }: ArtifactRequest, tree: Tree): Promise<void> {
    return this.#options.cache.names.link(namespace, reference, tree.id);
  }

  /** A volume has the tree that `cached` found for its request. */
  async took(request: ArtifactRequest, tree: Tree): Promise<void> {
    const { volume } = request;
    const wish = this.#wanted.get(volume);
    if (wish?.lookedUp !== true) this.#options.observer?.treeLookedUp(true);
    if (wish !== undefined) wish.lookedUp = true;
    this.#pulls.leave(volume);
    this.#has(volume);
    await this.#name(tree, formatReference(request.reference));
  }

  /**
   * The tree that a request means: from the cache, or pulled. Waits as long as the caller can, then throws
   * "in-progress" while the work goes on; the next call for the same volume joins it. What the node does not allow is
   * "forbidden", cached or not; under a newer format of the data dir everything new is "refused".
   */
  async present(request: ArtifactRequest, patience: Patience): Promise<Tree> {
    const { cache, clock, allowRegistry } = this.#options;
    cache.dataDir.requireOwnFormat();
    checkAllowed(request.reference, allowRegistry);
    const reached = await waitPatiently(this.#reach({ ...request, resolving: this.#resolveRequest(request) }), {
      patience,
      clock,
      late: () => this.#lateResolving(request),
    });
    const tree = reached instanceof Pull ? await this.#pulls.wait(reached, request.volume, patience) : reached;
    this.#has(request.volume);
    await this.link(request, tree);
    await this.#name(tree, formatReference(request.reference));
    return tree;
  }

  /**
   * Asks the registry for a reference with what somebody brings who is no volume, and makes its tree present. Waits until
   * that is done; if the signal fires first, rejects with its reason, and a pull that no volume wants ends. Else rejects as
   * `present` does.
   */
  async pull(request: CallerPull, watch: PullWatch): Promise<Tree> {
    const { cache, worker, allowRegistry, credentials } = this.#options;
    cache.dataDir.requireOwnFormat();
    checkAllowed(request.reference, allowRegistry);
    const { concurrency, caCertificates } = request;
    const volume = `caller ${randomUUID()}`;
    // Metrics count what volumes look for.
    this.#wanted.set(volume, { lookedUp: true, searching: 0 });
    const resolving = resolveForCaller(request, credentials);
    const aside = caCertificates.length > 0 ? volume : undefined;
    try {
      const reaching = this.#reach({ volume, selection: everything, concurrency, resolving, aside });
      const endWatch = worker.watchTries(request.reference, watch.onEvent);
      const reached = await untilAborted(reaching, watch.signal).finally(endWatch);
      const tree = reached instanceof Pull ? await this.#pulls.watch(reached, volume, watch) : reached;
      await this.#name(tree, formatReference(request.reference));
      return tree;
    } finally {
      this.#wanted.delete(volume);
      if (watch.signal.aborted) this.#pulls.leave(volume);
    }
  }

  async #cached(request: ArtifactRequest): Promise<LeasedTree | undefined> {
    const { reference, transport, namespace, policy, platform, selection, secrets } = request;
    const { registry, repository } = reference;
    if (policy === "Always") return undefined;
    this.#options.cache.dataDir.requireOwnFormat();
    checkAllowed(reference, this.#options.allowRegistry);
    // A secret that cannot be read is the volume's fault, also where it is not needed.
    credentialsFromSecrets(secrets, registry, repository);
    const resolving = { reference, repository: { registry, repository, transport }, namespace, platform };
    const resolved = await this.#resolver.resolveCached(resolving);
    return resolved && this.#trees.findLeased({ resolving, resolved, selection });
  }

  /** A volume has what it wanted. Another call for it may still be on its way: it gets the same. */
  #has(volume: string): void {
    if (this.#wanted.get(volume)?.searching === 0) this.#wanted.delete(volume);
  }

  async #name({ id, references }: Tree, reference: string): Promise<void> {
    if (references.includes(reference)) return;
    const { leases, trees } = this.#options.cache;
    using _ = await leases.hold(id);
    await trees.addReference(id, reference);
  }

  /** A volume wants nothing any more: a pull that only it wanted ends. */
  leave(volume: string): void {
    this.#wanted.delete(volume);
    this.#pulls.leave(volume);
  }

  /** Puts damaged trees together again, as far as the cache has what they are made of. */
  mendAll(signal: AbortSignal): Promise<MendReport> {
    return this.#mender.mendAll(signal);
  }

  /** Ends all pulls and their worker. */
  async close(): Promise<void> {
    this.#closing.abort(new DriverError("cancelled", "the driver stops"));
    await this.#mending;
    await this.#pulls.close();
    await this.#options.worker.close();
  }

  /** Resolves, and finds the tree or starts its pull; goes on whether or not the caller still waits. */
  async #reach(wanted: Wanted): Promise<Tree | Pull> {
    const wish = this.#wanted.get(wanted.volume) ?? { lookedUp: false, searching: 0 };
    this.#wanted.set(wanted.volume, wish);
    wish.searching++;
    try {
      return await this.#search(wanted, wish);
    } finally {
      wish.searching--;
    }
  }

  async #search({ volume, selection, concurrency, aside, ...request }: Wanted, wish: Wish): Promise<Tree | Pull> {
    const resolving = await request.resolving;
    const resolved = await this.#resolver.resolve(resolving);
    const wanted = { resolving, resolved, selection, concurrency };
    const found = await this.#trees.find(wanted);
    if (!wish.lookedUp) this.#options.observer?.treeLookedUp(found !== undefined);
    wish.lookedUp = true;
    if (found !== undefined) {
      this.#pulls.leave(volume);
      return found;
    }
    const work = await this.#trees.plan(wanted);
    if (this.#wanted.get(volume) !== wish) throw new DriverError("in-progress", "the volume was unpublished meanwhile");
    const { registry, repository, transport } = resolving.repository;
    const { hosts, credentials } = resolving;
    const { references } = this.#options.cache;
    const refused = (error: DriverError) => revokeIfRefused(references, resolving, error);
    const offer = { hosts, credentials, refused };
    const from = [transport, `${registry}/${repository}`, ...(aside === undefined ? [] : [aside])];
    const key = [treeIdOf(resolved.digest, selection), ...from].join(" ");
    return this.#pulls.join({ volume, key, reference: formatReference(resolving.reference), registry, offer, work });
  }

  /** Trees that wait for bytes which a pull has just fetched anew. */
  #mendOthers(): void {
    const { log } = this.#options;
    this.#mending = this.#mender.mendAll(this.#closing.signal).catch((error: unknown) => {
      if (!this.#closing.signal.aborted) log.warn("cannot mend damaged trees", { reason: describeError(error) });
    });
  }

  async #resolveRequest(request: ArtifactRequest): Promise<ResolveRequest> {
    const { registry, repository } = request.reference;
    const access = await this.#options.credentials.find(request.reference, request.secrets);
    return {
      reference: request.reference,
      repository: { registry, repository, transport: request.transport },
      namespace: request.namespace,
      policy: request.policy,
      platform: request.platform,
      ...access,
    };
  }

  #lateResolving(request: ArtifactRequest): DriverError {
    const what = formatReference(request.reference);
    const failedTry = this.#options.worker.failedTry(request.reference);
    if (failedTry !== undefined) return new DriverError("unavailable", failedTry);
    return new DriverError("in-progress", `pulling ${what}: waiting for the registry's answer`);
  }
}
