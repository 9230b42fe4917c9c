import { DriverError, SingleFlight } from "../base/index.ts";
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
  selectPlatform,
} from "../oci/index.ts";
import type { Credential, FetchedManifest, Repository } from "../registry/index.ts";
import { errorDuring } from "./error-during.ts";
import { revokeIfRefused } from "./revoke-if-refused.ts";
import type { ManifestRequest } from "./worker-calls.ts";

/** When the registry is asked what a reference is now (contract.md, `oras.options.pullpolicy`). */
export type PullPolicy = "Always" | "IfNotPresent" | "Never";

/** What is to be resolved, for whom. */
export interface ResolveRequest {
  readonly reference: Reference;
  readonly repository: Repository;
  readonly namespace: string;
  readonly policy: PullPolicy;
  readonly platform: Platform;
  readonly credentials: readonly Credential[];
  readonly caCertificates: readonly string[];
}

/** The manifest that a reference means for a platform, which this namespace may have. */
export interface Resolved {
  readonly digest: Digest;
  readonly manifest: Manifest;
}

/** Asks registries for manifests; the pull worker does it. */
export interface ManifestSource {
  fetchManifest(request: ManifestRequest): Promise<FetchedManifest>;
  /** The digest that a HEAD names, or undefined where HEAD is of no use. */
  headManifest(request: ManifestRequest): Promise<Digest | undefined>;
}

/** An index in an index in an index is still followed; more is a loop or a joke. */
const MAX_INDEX_DEPTH = 4;

interface Known {
  readonly digest: Digest;
  readonly content: Manifest | Index;
}

/** Turns references into manifests and decides whether a namespace may have them. */
export class Resolver {
  readonly #cache: Cache;
  readonly #source: ManifestSource;
  readonly #enforceNamespaces: boolean;
  readonly #flights = new SingleFlight<Resolved>();

  constructor(options: {
    readonly cache: Cache;
    readonly source: ManifestSource;
    readonly enforceNamespaces: boolean;
  }) {
    this.#cache = options.cache;
    this.#source = options.source;
    this.#enforceNamespaces = options.enforceNamespaces;
  }

  /** Resolves for one caller; equal requests that come meanwhile share the answer. */
  resolve(request: ResolveRequest): Promise<Resolved> {
    return this.#flights.run(JSON.stringify(request), () => this.#resolve(request));
  }

  async #resolve(request: ResolveRequest): Promise<Resolved> {
    let known = await this.#top(request);
    for (let depth = 0; known.content.kind === "index"; depth++) {
      const what = formatReference(request.reference);
      if (depth === MAX_INDEX_DEPTH)
        throw new DriverError("refused", `${what} is an index of indexes, too deep to follow`);
      known = await this.#entry(request, selectPlatform(known.content, request.platform, what));
    }
    return { digest: known.digest, manifest: known.content };
  }

  /** What the reference itself names: a manifest or an index. */
  async #top(request: ResolveRequest): Promise<Known> {
    const { reference, repository, policy, namespace } = request;
    const allowed = !this.#enforceNamespaces || (await this.#cache.references.isAllowed(repository, namespace));
    const last = reference.digest ?? (await this.#cache.references.digestOfTag(repository, reference.tag ?? "latest"));
    const cached = allowed && last !== undefined ? await this.#cached(repository, last) : undefined;
    if (policy === "Never") {
      if (cached !== undefined) return cached;
      const what = formatReference(reference);
      throw new DriverError(
        "not-found",
        `${what} is not in this node's cache for namespace ${namespace}, and oras.options.pullpolicy is Never`,
      );
    }
    if (cached !== undefined && (policy === "IfNotPresent" || (await this.#isUnchanged(request, cached.digest))))
      return cached;
    return this.#askRegistry(request, reference.digest ?? reference.tag ?? "latest");
  }

  async #entry(request: ResolveRequest, entry: Descriptor): Promise<Known> {
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

  async #isUnchanged(request: ResolveRequest, digest: Digest): Promise<boolean> {
    return (
      (await this.#source.headManifest(
        manifestRequest(request, request.reference.digest ?? request.reference.tag ?? "latest"),
      )) === digest
    );
  }

  /** A manifest from the cache, if this repository once gave it. */
  async #cached(repository: Repository, digest: Digest): Promise<Known | undefined> {
    if (this.#enforceNamespaces && !(await this.#cache.references.wasGiven(repository, digest))) return undefined;
    const bytes = await this.#cache.blobs.read(digest);
    return bytes === undefined ? undefined : { digest, content: parseManifest(bytes, undefined) };
  }

  async #askRegistry(request: ResolveRequest, tagOrDigest: string): Promise<Known> {
    const { repository, namespace, reference } = request;
    const { references, blobs } = this.#cache;
    let fetched: FetchedManifest;
    try {
      fetched = await this.#source.fetchManifest(manifestRequest(request, tagOrDigest));
    } catch (error) {
      await revokeIfRefused(references, request, error);
      throw error;
    }
    const content = readManifest(fetched, reference);
    await blobs.put(fetched.digest, fetched.bytes);
    await references.rememberGiven(repository, fetched.digest);
    if (tagOrDigest === reference.tag && reference.digest === undefined) {
      await references.rememberTag(repository, tagOrDigest, fetched.digest);
    }
    await references.allow(repository, namespace);
    return { digest: fetched.digest, content };
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
  const { repository, credentials, caCertificates } = request;
  return { repository, credentials, caCertificates, tagOrDigest };
}
