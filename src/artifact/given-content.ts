import type { Cache, TreeId } from "../cache/index.ts";
import type { Digest } from "../oci/index.ts";
import type { Repository } from "../registry/index.ts";
import type { PlacedLayer } from "./placed-layer.ts";

/** Which of the cache's content a repository's volumes may have: what the repository once gave, as its registry let it. */
export class GivenContent {
  readonly #cache: Cache;
  readonly #enforceNamespaces: boolean;

  /** Where `enforceNamespaces` is false, nobody asks whose bytes they are. */
  constructor({ cache, enforceNamespaces }: { readonly cache: Cache; readonly enforceNamespaces: boolean }) {
    this.#cache = cache;
    this.#enforceNamespaces = enforceNamespaces;
  }

  /** Whether the repository once gave it. */
  async has(repository: Repository, content: Digest | TreeId): Promise<boolean> {
    return !this.#enforceNamespaces || (await this.#cache.references.wasGiven(repository, content));
  }

  /** What the repository has not given yet. */
  async unproven(repository: Repository, layers: readonly PlacedLayer[]): Promise<readonly Digest[]> {
    const unproven: Digest[] = [];
    for (const digest of new Set(layers.map((layer) => layer.descriptor.digest))) {
      if (!(await this.has(repository, digest))) unproven.push(digest);
    }
    return unproven;
  }
}
