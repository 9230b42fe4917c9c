import { type Endpoint, endpointOf, type Repository } from "./endpoint.ts";

/** The APIs of repositories, each made once: a pull asks for thousands of blobs of one. */
export class KnownEndpoints {
  readonly #own = new WeakMap<Repository, Endpoint>();

  /** `endpointOf` this very object. */
  of(repository: Repository): Endpoint {
    const known = this.#own.get(repository);
    if (known !== undefined) return known;
    const endpoint = endpointOf(repository);
    this.#own.set(repository, endpoint);
    return endpoint;
  }
}
