import { createHash, randomUUID } from "node:crypto";

/** A manifest or index with the media type that it was pushed with. */
export interface StoredManifest {
  readonly mediaType: string;
  readonly bytes: Buffer;
}

interface Repository {
  readonly blobs: Map<string, Buffer>;
  readonly manifests: Map<string, StoredManifest>;
  readonly tags: Map<string, string>;
}

/** `sha256:<hex>` of some bytes. */
export function sha256Of(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** What an embedded registry holds, in memory, by repository. */
export class RegistryContent {
  readonly #repositories = new Map<string, Repository>();
  readonly #uploads = new Map<string, Buffer[]>();

  /** A blob, or undefined. */
  blob(repository: string, digest: string): Buffer | undefined {
    return this.#repositories.get(repository)?.blobs.get(digest);
  }

  /** Stores a blob as it is: nobody checks here that the digest is that of the bytes, so a test can store wrong ones. */
  putBlob(repository: string, digest: string, bytes: Buffer): void {
    this.#open(repository).blobs.set(digest, bytes);
  }

  /** Forgets a blob. */
  deleteBlob(repository: string, digest: string): void {
    this.#repositories.get(repository)?.blobs.delete(digest);
  }

  /** A manifest by tag or digest, with its digest, or undefined. */
  manifest(repository: string, reference: string): (StoredManifest & { readonly digest: string }) | undefined {
    const known = this.#repositories.get(repository);
    const digest = known?.tags.get(reference) ?? reference;
    const stored = known?.manifests.get(digest);
    return stored === undefined ? undefined : { ...stored, digest };
  }

  /** Stores a manifest under its digest, and under `reference` too where that is a tag; returns the digest. */
  putManifest(repository: string, reference: string, manifest: StoredManifest): string {
    const digest = sha256Of(manifest.bytes);
    const known = this.#open(repository);
    known.manifests.set(digest, manifest);
    if (!reference.includes(":")) known.tags.set(reference, digest);
    return digest;
  }

  /** Forgets a repository with all that it holds. */
  deleteRepository(repository: string): void {
    this.#repositories.delete(repository);
  }

  /** Begins an upload and returns its id. */
  beginUpload(): string {
    const id = randomUUID();
    this.#uploads.set(id, []);
    return id;
  }

  /** Adds bytes to an upload; false when there is no such upload. */
  appendUpload(id: string, bytes: Buffer): boolean {
    const parts = this.#uploads.get(id);
    parts?.push(bytes);
    return parts !== undefined;
  }

  /** Ends an upload and returns all of its bytes. */
  takeUpload(id: string): Buffer {
    const bytes = Buffer.concat(this.#uploads.get(id) ?? []);
    this.#uploads.delete(id);
    return bytes;
  }

  #open(name: string): Repository {
    let repository = this.#repositories.get(name);
    if (repository === undefined) {
      repository = { blobs: new Map(), manifests: new Map(), tags: new Map() };
      this.#repositories.set(name, repository);
    }
    return repository;
  }
}
