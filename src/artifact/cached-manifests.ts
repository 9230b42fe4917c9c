import { promises as fs } from "node:fs";
import { fileStamp, lookNow, type Memory, RecentMap, Semaphore, unlessMissing } from "../base/index.ts";
import type { Cache } from "../cache/index.ts";
import { type Digest, type Index, type Manifest, parseManifest } from "../oci/index.ts";
import { LARGE_MANIFEST_BYTES, releaseManifest } from "./large-work.ts";

/** A manifest or an index that was read and is good. */
export interface KnownManifest {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** Undefined for a manifest. */
  readonly index: Index | undefined;
}

/** How many manifests need not be read again as long as they lie there unchanged. */
const KNOWN_MANIFESTS = 12_288;
/** The same of indexes, which are kept whole: those of images have 2 to 10 KB. */
const KNOWN_INDEXES = 64;
const KNOWN_INDEX_BYTES = 16 * 1024;

/** The manifests that the cache has, whoever gave them. Large ones are read one after the other, small ones at once. */
export class CachedManifests {
  readonly #cache: Cache;
  readonly #memory: Memory;
  readonly #largeTurn = new Semaphore(1);
  /** Manifests in the cache that were read and are good: what their files looked like. */
  readonly #good = new RecentMap<Digest, { readonly stamp: string; readonly size: number }>(KNOWN_MANIFESTS);
  readonly #goodIndexes = new RecentMap<Digest, { readonly stamp: string; readonly known: KnownManifest }>(
    KNOWN_INDEXES,
  );

  constructor(cache: Cache, memory: Memory) {
    this.#cache = cache;
    this.#memory = memory;
  }

  /** What was read before, if its file is the same still. */
  knownNow(digest: Digest): KnownManifest | undefined {
    const manifest = this.#good.get(digest);
    const index = manifest === undefined ? this.#goodIndexes.get(digest) : undefined;
    const stamp = manifest?.stamp ?? index?.stamp;
    if (stamp === undefined) return undefined;
    const file = lookNow(this.#cache.layout.blob(digest), { follow: true });
    if (file === undefined || fileStamp(file) !== stamp) return undefined;
    return manifest === undefined ? index?.known : { digest, size: manifest.size, index: undefined };
  }

  /** Reads one; undefined if it is not there. Throws as `Blobs.read` and `parseManifest` do. */
  async read(digest: Digest): Promise<KnownManifest | undefined> {
    const file = await unlessMissing(fs.stat(this.#cache.layout.blob(digest)));
    if (file === undefined) return undefined;
    const done = await this.#turnFor(file.size);
    try {
      const bytes = await this.#cache.blobs.read(digest);
      const known = bytes && (await this.#released(bytes, () => knownFrom(digest, bytes)));
      if (known !== undefined) this.#keepGood(known, fileStamp(file));
      return known;
    } finally {
      done();
    }
  }

  /** Notes what was just put into the cache. */
  async added(known: KnownManifest): Promise<void> {
    const file = await unlessMissing(fs.stat(this.#cache.layout.blob(known.digest)));
    if (file !== undefined) this.#keepGood(known, fileStamp(file));
  }

  /** Lends the bytes of a manifest that lies in some file, until `use` has ended. */
  async withFile<T>(path: string, use: (bytes: Buffer) => Promise<T>): Promise<T> {
    const done = await this.#turnFor((await fs.stat(path)).size);
    try {
      const bytes = await fs.readFile(path);
      return await this.#released(bytes, () => use(bytes));
    } finally {
      done();
    }
  }

  #keepGood(known: KnownManifest, stamp: string): void {
    const { digest, size, index } = known;
    if (index === undefined) this.#good.set(digest, { stamp, size });
    else if (size <= KNOWN_INDEX_BYTES) this.#goodIndexes.set(digest, { stamp, known });
  }

  /** What is returned lets the next large one in. */
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
}

/** The index that a document is, if it is one. */
export function indexIn(content: Manifest | Index): Index | undefined {
  return content.kind === "index" ? content : undefined;
}

function knownFrom(digest: Digest, bytes: Uint8Array): KnownManifest {
  return { digest, size: bytes.length, index: indexIn(parseManifest(bytes, undefined)) };
}
