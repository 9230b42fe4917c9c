import { createHash, hash } from "node:crypto";
import type { DigestAlgorithm } from "../oci/index.ts";

/** Hashes a blob's bytes as they come, in order. */
export interface BlobHash {
  update(chunk: Buffer): void;
  /** The digest of what came so far. */
  hex(): string;
}

/** A blob of this size is copied and then hashed in one go: to begin a hash takes longer. */
const SMALL_BYTES = 8 * 1024;

/** A hash for a blob of this size, which is all that it may be given. */
export function createBlobHash(algorithm: DigestAlgorithm, sizeBytes: number): BlobHash {
  return sizeBytes <= SMALL_BYTES ? new SmallHash(algorithm, sizeBytes) : new LargeHash(algorithm);
}

class SmallHash implements BlobHash {
  readonly #algorithm: DigestAlgorithm;
  readonly #bytes: Buffer;
  #length = 0;

  constructor(algorithm: DigestAlgorithm, sizeBytes: number) {
    this.#algorithm = algorithm;
    this.#bytes = Buffer.allocUnsafe(sizeBytes);
  }

  update(chunk: Buffer): void {
    if (this.#length + chunk.length > this.#bytes.length) throw new Error("a blob has more bytes than it may have");
    this.#length += chunk.copy(this.#bytes, this.#length);
  }

  hex(): string {
    const { length } = this.#bytes;
    return hash(this.#algorithm, this.#length === length ? this.#bytes : this.#bytes.subarray(0, this.#length), "hex");
  }
}

class LargeHash implements BlobHash {
  readonly #hash;

  constructor(algorithm: DigestAlgorithm) {
    this.#hash = createHash(algorithm);
  }

  update(chunk: Buffer): void {
    this.#hash.update(chunk);
  }

  hex(): string {
    return this.#hash.copy().digest("hex");
  }
}
