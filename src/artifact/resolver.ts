import { randomUUID } from "node:crypto";
import { promises as fs } from "node:fs";
import { join } from "node:path";
import { DriverError, type Memory, SingleFlight } from "../base/index.ts";
import type { Cache } from "../cache/index.ts";
import {
  type Descriptor,
  type Digest,
  formatReference,
  type Index,
  type Manifest,
  type Platform,
  parseManifest,
  type Reference,
} from "../oci/index.ts";
import type { CredentialOffer, FetchedManifest, HostAccess, Repository } from "../registry/index.ts";
import { CachedManifests, indexIn, type KnownManifest } from "./cached-manifests.ts";
import { errorDuring } from "./error-during.ts";
import { manifestFor } from "./platform-manifest.ts";
import { revokeIfRefused } from "./revoke-if-refused.ts";
import type { GetManifest, HandedManifest, ManifestRequest } from "./worker-calls.ts";

/** When the registry is asked what a reference is now (contract.md, `oras.options.pullpolicy`). */
export type PullPolicy = "Always" | "IfNotPresent" | "Never";

/** What is to be resolved, for whom. */
export interface ResolveRequest {
  readonly reference: Reference;
  readonly repository: Repository;
  /** Undefined: nobody's pods, so that nothing is allowed beforehand, and nobody's permission is noted. */
  readonly namespace: string | undefined;
  readonly policy: PullPolicy;
  readonly platform: Platform;
  /** See `RegistryAccess`. */
  readonly hosts?: readonly HostAccess[] | undefined;
  readonly credentials: readonly CredentialOffer[];
  readonly caCertificates: readonly string[];
}

/**
 * The manifest that a reference means for a platform, which this namespace may have: a good one, in the cache. It is
 * not held here, as it may be large, and so many pods may wait.
 */
export interface Resolved {
  readonly digest: Digest;
}

/** Asks registries for manifests; the pull worker does it. */
export interface ManifestSource {
  fetchManifest(request: GetManifest): Promise<HandedManifest>;
  /** The digest that a HEAD names, or undefined where HEAD is of no use. */
  headManifest(request: ManifestRequest): Promise<Digest | undefined>;
}

/** What is to be resolved without asking anybody. */
export type CachedRequest = Pick<ResolveRequest, "reference" | "repository" | "namespace" | "platform">;

/** A manifest that a reference leads to is not in the cache. */
class NotCached extends Error {}

/** Turns references into manifests and decides whether a namespace may have them. */
export class Resolver {
  readonly #cache: Cache;
  readonly #source: ManifestSource;
  readonly #enforceNamespaces: boolean;
  readonly #manifests: CachedManifests;
  readonly #flights = new SingleFlight<Resolved>();

  constructor(options: {
    readonly cache: Cache;
    readonly source: ManifestSource;
    readonly enforceNamespaces: boolean;
    readonly memory: Memory;
  }) {
    this.#cache = options.cache;
    this.#source = options.source;
    this.#enforceNamespaces = options.enforceNamespaces;
    this.#manifests = new CachedManifests(options.cache, options.memory);
  }

  /** Resolves for one caller; equal requests that come meanwhile share the answer. */
  resolve(request: ResolveRequest): Promise<Resolved> {
    return this.#flights.run(JSON.stringify(request), () => this.#resolve(request));
  }

  /** What `resolve` would answer if no registry is to be asked; undefined where one would have to be. */
  async resolveCached({ reference, repository, namespace, platform }: CachedRequest): Promise<Resolved | undefined> {
    if (!(await this.#isLetIn(repository, namespace))) return undefined;
    const digest = await this.#lastDigest(reference, repository);
    const known = digest && (await this.#cached(repository, digest));
    if (known === undefined) return undefined;
    const find = async (entry: Descriptor) => {
      const found = await this.#cached(repository, entry.digest);
      if (found === undefined) throw new NotCached();
      return found;
    };
    try {
      return { digest: await manifestFor(known, { reference, platform, find }) };
    } catch (error) {
      if (error instanceof NotCached) return undefined;
      throw error;
    }
  }

  async #resolve(request: ResolveRequest): Promise<Resolved> {
    const { reference, platform } = request;
    const find = (entry: Descriptor) => this.#entry(request, entry);
    return { digest: await manifestFor(await this.#top(request), { reference, platform, find }) };
  }

  /** What the reference itself names: a manifest or an index. */
  async #top(request: ResolveRequest): Promise<KnownManifest> {
    const { reference, repository, policy, namespace } = request;
    const allowed = await this.#isLetIn(repository, namespace);
    const last = await this.#lastDigest(reference, repository);
    const fromCache = async () => (allowed && last !== undefined ? this.#cached(repository, last) : undefined);
    if (policy !== "Always" || (last !== undefined && (await this.#isUnchanged(request, last, fromCache)))) {
      const cached = await fromCache();
      if (cached !== undefined) return cached;
    }
    if (policy === "Never") {
      const what = formatReference(reference);
      throw new DriverError(
        "not-found",
        `${what} is not in this node's cache for namespace ${namespace}, and oras.options.pullpolicy is Never`,
      );
    }
    return this.#askRegistry(request, reference.digest ?? reference.tag ?? "latest");
  }

  async #isLetIn(repository: Repository, namespace: string | undefined): Promise<boolean> {
    if (!this.#enforceNamespaces) return true;
    return namespace !== undefined && (await this.#cache.references.isAllowed(repository, namespace));
  }

  /** The digest that a reference names, or that its tag had when it was last asked. */
  async #lastDigest({ digest, tag = "latest" }: Reference, repository: Repository): Promise<Digest | undefined> {
    return digest ?? (await this.#cache.references.digestOfTag(repository, tag));
  }

  async #entry(request: ResolveRequest, entry: Descriptor): Promise<KnownManifest> {
    const cached = await this.#cached(request.repository, entry.digest);
    if (cached !== undefined) return cached;
    if (request.policy === "Never") {
      const what = formatReference(request.reference);
      throw new DriverError(
        "not-found",
        `the manifest of ${what} for this platform is not in this node's cache, and oras.options.pullpolicy is Never`,
      );
    }
    return this.#askRegistry(request, entry.digest);
  }

  /** Whether what the cache has is what the registry has now; nothing is asked, or held meanwhile, for what is not there. */
  async #isUnchanged(
    request: ResolveRequest,
    digest: Digest,
    fromCache: () => Promise<KnownManifest | undefined>,
  ): Promise<boolean> {
    if ((await fromCache()) === undefined) return false;
    const { digest: named, tag = "latest" } = request.reference;
    return (await this.#source.headManifest(manifestRequest(request, named ?? tag))) === digest;
  }

  /** A manifest from the cache, if this repository once gave it. */
  async #cached(repository: Repository, digest: Digest): Promise<KnownManifest | undefined> {
    if (this.#enforceNamespaces && !(await this.#cache.references.wasGiven(repository, digest))) return undefined;
    return this.#manifests.knownNow(digest) ?? this.#manifests.read(digest);
  }

  async #askRegistry(request: ResolveRequest, tagOrDigest: string): Promise<KnownManifest> {
    const largeFile = join(this.#cache.layout.tmp, `manifest-${randomUUID()}`);
    let handed: HandedManifest;
    try {
      handed = await this.#source.fetchManifest({ ...manifestRequest(request, tagOrDigest), largeFile });
    } catch (error) {
      await revokeIfRefused(this.#cache.references, request, error);
      throw error;
    }
    const { bytes } = handed;
    if (bytes !== undefined) return this.#take(request, tagOrDigest, { ...handed, bytes });
    try {
      return await this.#manifests.withFile(largeFile, (large) =>
        this.#take(request, tagOrDigest, { ...handed, bytes: large }),
      );
    } finally {
      await fs.rm(largeFile, { force: true });
    }
  }

  /** Reads what the registry gave, keeps it, and notes what it proves. */
  async #take(request: ResolveRequest, tagOrDigest: string, fetched: FetchedManifest): Promise<KnownManifest> {
    const { repository, namespace, reference } = request;
    const { references, blobs, dataDir, room } = this.#cache;
    const { digest, bytes } = fetched;
    const index = indexIn(readManifest(fetched, reference));
    await room.write(async () => {
      await dataDir.ensureFolders();
      await blobs.put(digest, bytes);
      await references.rememberGiven(repository, digest);
      if (tagOrDigest === reference.tag && reference.digest === undefined) {
        await references.rememberTag(repository, tagOrDigest, digest);
      }
      if (namespace !== undefined) await references.allow(repository, namespace);
    });
    const known = { digest, size: bytes.length, index };
    await this.#manifests.added(known);
    return known;
  }
}

function readManifest({ bytes, contentType }: FetchedManifest, reference: Reference): Manifest | Index {
  try {
    return parseManifest(bytes, contentType);
  } catch (error) {
    throw errorDuring(`pull ${formatReference(reference)}`, error);
  }
}

function manifestRequest(request: ResolveRequest, tagOrDigest: string): ManifestRequest {
  const { repository, hosts, credentials, caCertificates } = request;
  return { repository, hosts, credentials, caCertificates, tagOrDigest };
}
