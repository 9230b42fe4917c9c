import { randomUUID } from "node:crypto";
import { promises as fs } from "node:fs";
import { join } from "node:path";
import {
  DriverError,
  fileStamp,
  lookNow,
  type Memory,
  RecentMap,
  Semaphore,
  SingleFlight,
  unlessMissing,
} from "../base/index.ts";
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
  nestedIndexes,
} from "../oci/index.ts";
import type { CredentialOffer, FetchedManifest, HostAccess, Repository } from "../registry/index.ts";
import { errorDuring } from "./error-during.ts";
import { LARGE_MANIFEST_BYTES, releaseManifest } from "./large-work.ts";
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

/** An index in an index in an index is still followed; more is a loop or a joke. */
const MAX_INDEX_DEPTH = 4;
/** How many manifests need not be read again as long as they lie there unchanged. */
const KNOWN_MANIFESTS = 12_288;
/** The same of indexes, which are kept whole: those of images have 2 to 10 KB. */
const KNOWN_INDEXES = 64;
const KNOWN_INDEX_BYTES = 16 * 1024;

/** Indexes without a platform in one that has nothing for it: so many are looked into. */
const MAX_NESTED_INDEXES = 16;

/** What is to be resolved without asking anybody. */
export type CachedRequest = Pick<ResolveRequest, "reference" | "repository" | "namespace" | "platform">;

/** A manifest that a reference leads to is not in the cache. */
class NotCached extends Error {}

/** One resolving of a reference. */
interface Search {
  readonly platform: Platform;
  /** Reads what an index names. */
  readonly find: (entry: Descriptor) => Promise<Known>;
  /** What messages call the reference. */
  readonly what: string;
  /** Indexes that may still be looked into. */
  left: number;
}

interface Known {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** Undefined for a manifest. */
  readonly index: Index | undefined;
}

/** Turns references into manifests and decides whether a namespace may have them. */
export class Resolver {
  readonly #cache: Cache;
  readonly #source: ManifestSource;
  readonly #enforceNamespaces: boolean;
  readonly #memory: Memory;
  readonly #flights = new SingleFlight<Resolved>();
  readonly #largeTurn = new Semaphore(1);
  /** Manifests in the cache that were read and are good: what their files looked like. */
  readonly #good = new RecentMap<Digest, { readonly stamp: string; readonly size: number }>(KNOWN_MANIFESTS);
  readonly #goodIndexes = new RecentMap<Digest, { readonly stamp: string; readonly known: Known }>(KNOWN_INDEXES);

  constructor(options: {
    readonly cache: Cache;
    readonly source: ManifestSource;
    readonly enforceNamespaces: boolean;
    readonly memory: Memory;
  }) {
    this.#cache = options.cache;
    this.#source = options.source;
    this.#enforceNamespaces = options.enforceNamespaces;
    this.#memory = options.memory;
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
      return { digest: await this.#descend(known, searchFor(reference, platform, find), 0) };
    } catch (error) {
      if (error instanceof NotCached) return undefined;
      throw error;
    }
  }

  async #resolve(request: ResolveRequest): Promise<Resolved> {
    const find = (entry: Descriptor) => this.#entry(request, entry);
    const search = searchFor(request.reference, request.platform, find);
    return { digest: await this.#descend(await this.#top(request), search, 0) };
  }

  /** The manifest that is meant: the index's for the platform, or the first of one that is in an index in it. */
  async #descend({ digest, index }: Known, search: Search, depth: number): Promise<Digest> {
    if (index === undefined) return digest;
    const { what } = search;
    if (depth === MAX_INDEX_DEPTH)
      throw new DriverError("refused", `${what} is an index of indexes, too deep to follow`);
    // Not the index itself: it may be large, and the registry slow.
    const { entry, missing, nested } = entriesFor(index, search);
    const next = async (one: Descriptor) => {
      const known = await search.find(one);
      requireSize(known, one, what);
      return this.#descend(known, search, depth + 1);
    };
    if (entry !== undefined) return await next(entry);
    let why = missing;
    for (const one of nested) {
      if (search.left-- <= 0) break;
      try {
        return await next(one);
      } catch (error) {
        if (!isNotFound(error)) throw error;
        // It says what there is.
        why = error;
      }
    }
    throw why;
  }

  /** What the reference itself names: a manifest or an index. */
  async #top(request: ResolveRequest): Promise<Known> {
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

  /** Whether what the cache has is what the registry has now; nothing is asked, or held meanwhile, for what is not there. */
  async #isUnchanged(
    request: ResolveRequest,
    digest: Digest,
    fromCache: () => Promise<Known | undefined>,
  ): Promise<boolean> {
    if ((await fromCache()) === undefined) return false;
    const { digest: named, tag = "latest" } = request.reference;
    return (await this.#source.headManifest(manifestRequest(request, named ?? tag))) === digest;
  }

  /** A manifest from the cache, if this repository once gave it. */
  async #cached(repository: Repository, digest: Digest): Promise<Known | undefined> {
    if (this.#enforceNamespaces && !(await this.#cache.references.wasGiven(repository, digest))) return undefined;
    const path = this.#cache.layout.blob(digest);
    const good = this.#goodNow(digest, path);
    if (good !== undefined) return good;
    const file = await unlessMissing(fs.stat(path));
    if (file === undefined) return undefined;
    const stamp = fileStamp(file);
    const done = await this.#turnFor(file.size);
    try {
      const known = await this.#read(digest);
      if (known !== undefined) this.#keepGood(known, stamp);
      return known;
    } finally {
      done();
    }
  }

  /** What was read before, if its file is the same still. */
  #goodNow(digest: Digest, path: string): Known | undefined {
    const manifest = this.#good.get(digest);
    const index = manifest === undefined ? this.#goodIndexes.get(digest) : undefined;
    const stamp = manifest?.stamp ?? index?.stamp;
    if (stamp === undefined) return undefined;
    const file = lookNow(path, { follow: true });
    if (file === undefined || fileStamp(file) !== stamp) return undefined;
    return manifest === undefined ? index?.known : { digest, size: manifest.size, index: undefined };
  }

  #keepGood(known: Known, stamp: string): void {
    const { digest, size, index } = known;
    if (index === undefined) this.#good.set(digest, { stamp, size });
    else if (size <= KNOWN_INDEX_BYTES) this.#goodIndexes.set(digest, { stamp, known });
  }

  async #read(digest: Digest): Promise<Known | undefined> {
    const bytes = await this.#cache.blobs.read(digest);
    if (bytes === undefined) return undefined;
    return this.#released(bytes, () => {
      return { digest, size: bytes.length, index: indexIn(parseManifest(bytes, undefined)) };
    });
  }

  async #askRegistry(request: ResolveRequest, tagOrDigest: string): Promise<Known> {
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
    const done = await this.#turnFor((await fs.stat(largeFile)).size);
    try {
      const large = await fs.readFile(largeFile);
      return await this.#released(large, () => this.#take(request, tagOrDigest, { ...handed, bytes: large }));
    } finally {
      done();
      await fs.rm(largeFile, { force: true });
    }
  }

  /** Large manifests are read one after the other, small ones at once. What is returned lets the next one in. */
  async #turnFor(sizeBytes: number): Promise<() => void> {
    return sizeBytes < LARGE_MANIFEST_BYTES ? () => undefined : this.#largeTurn.acquire();
  }

  /** Does what needs a manifest's bytes, then lets go of them. */
  async #released<T>(bytes: Uint8Array, use: () => T | Promise<T>): Promise<T> {
    try {
      return await use();
    } finally {
      await releaseManifest(bytes, this.#memory);
    }
  }

  /** Reads what the registry gave, keeps it, and notes what it proves. */
  async #take(request: ResolveRequest, tagOrDigest: string, fetched: FetchedManifest): Promise<Known> {
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
    const size = bytes.length;
    const written = await unlessMissing(fs.stat(this.#cache.layout.blob(digest)));
    const known = { digest, size, index };
    if (written !== undefined) this.#keepGood(known, fileStamp(written));
    return known;
  }
}

/** An index that is wrong about the size of what it names is as wrong as one that misses its digest. */
function requireSize({ digest, size }: Known, entry: Descriptor, what: string): void {
  if (size === entry.size) return;
  throw new DriverError(
    "corrupt",
    `cannot pull ${what}: the manifest ${digest} has ${size} bytes where its index says ${entry.size}`,
  );
}

function searchFor(reference: Reference, platform: Platform, find: Search["find"]): Search {
  return { platform, find, what: formatReference(reference), left: MAX_NESTED_INDEXES };
}

/** The entry for the platform, or why there is none and where else it may be. */
function entriesFor(
  index: Index,
  { platform, what }: Search,
): { readonly entry?: Descriptor; readonly missing?: unknown; readonly nested: readonly Descriptor[] } {
  try {
    return { entry: selectPlatform(index, platform, what), nested: [] };
  } catch (missing) {
    return { missing, nested: nestedIndexes(index).slice(0, MAX_NESTED_INDEXES) };
  }
}

function isNotFound(error: unknown): boolean {
  return error instanceof DriverError && error.kind === "not-found";
}

function indexIn(content: Manifest | Index): Index | undefined {
  return content.kind === "index" ? content : undefined;
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
