import { createHash } from "node:crypto";
import { promises as fs } from "node:fs";
import { dirname, join } from "node:path";
import { type Clock, errnoOf, makeFolders, syncFolder, unlessMissing } from "../base/index.ts";
import { type Digest, parseDigest } from "../oci/index.ts";
import type { DataDir } from "./data-dir.ts";
import type { TreeId } from "./layout.ts";
import { numberAt, textAt } from "./state-file.ts";

/** A repository as it was asked: what is learned over one transport counts for that one only. */
export interface AskedRepository {
  readonly registry: string;
  readonly repository: string;
  /** Verified TLS, unverified TLS, or plain http. */
  readonly transport: string;
}

/**
 * What registries told: which manifest a tag was, which namespaces were let into which repository, and which bytes it
 * gave. On disk: `references/<hash of transport and repository>/{tags,namespaces,given}/`, one small file a fact.
 */
export class References {
  readonly #dataDir: DataDir;
  readonly #clock: Clock;

  constructor(dataDir: DataDir, clock: Clock) {
    this.#dataDir = dataDir;
    this.#clock = clock;
  }

  /** The digest that a tag had when the registry was last asked; undefined if it never was. */
  async digestOfTag(repository: AskedRepository, tag: string): Promise<Digest | undefined> {
    return this.#dataDir.state.read(this.#tagFile(repository, tag), (value) => parseDigest(textAt(value, "digest")));
  }

  /** Notes what the registry said that a tag is now. */
  async rememberTag(repository: AskedRepository, tag: string, digest: Digest): Promise<void> {
    await this.#write(this.#tagFile(repository, tag), {
      ...named(repository),
      tag,
      digest,
      askedAt: this.#clock.now(),
    });
  }

  /** Whether the registry once gave this namespace a manifest of this repository, and did not refuse it since. */
  async isAllowed(repository: AskedRepository, namespace: string): Promise<boolean> {
    const file = this.#namespaceFile(repository, namespace);
    return (await this.#dataDir.state.read(file, (value) => numberAt(value, "allowedAt"))) !== undefined;
  }

  /** Notes that the registry gave this namespace a manifest of this repository. */
  async allow(repository: AskedRepository, namespace: string): Promise<void> {
    const file = this.#namespaceFile(repository, namespace);
    await this.#write(file, { ...named(repository), namespace, allowedAt: this.#clock.now() });
  }

  /** Whether these very bytes were once fetched from this repository: a digest alone proves no access to them. */
  async wasGiven(repository: AskedRepository, content: Digest | TreeId): Promise<boolean> {
    return (await unlessMissing(fs.stat(this.#givenFile(repository, content)))) !== undefined;
  }

  /**
   * Notes that the repository gave these bytes, or all that a tree is made of. An empty file, not synced: if a power cut
   * takes it, the bytes are fetched for proof once more.
   */
  async rememberGiven(repository: AskedRepository, content: Digest | TreeId): Promise<void> {
    const file = this.#givenFile(repository, content);
    await makeFolders(dirname(file), 0o700);
    await fs.writeFile(file, "", { mode: 0o600 });
  }

  /** Notes, so that no power cut brings it back, that the registry refused this namespace this repository. */
  async revoke(repository: AskedRepository, namespace: string): Promise<void> {
    const file = this.#namespaceFile(repository, namespace);
    try {
      await fs.unlink(file);
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return;
      throw error;
    }
    await syncFolder(dirname(file));
  }

  #tagFile(repository: AskedRepository, tag: string): string {
    return join(this.#folder(repository), "tags", `${hashOf(tag)}.json`);
  }

  #namespaceFile(repository: AskedRepository, namespace: string): string {
    return join(this.#folder(repository), "namespaces", `${namespace}.json`);
  }

  #givenFile(repository: AskedRepository, content: Digest | TreeId): string {
    return join(this.#folder(repository), "given", content.replace(":", "-"));
  }

  #folder({ transport, registry, repository }: AskedRepository): string {
    return join(this.#dataDir.layout.references, hashOf(`${transport} ${registry}/${repository}`));
  }

  async #write(file: string, value: Readonly<Record<string, string | number>>): Promise<void> {
    await makeFolders(dirname(file), 0o700);
    await this.#dataDir.state.merge(file, value);
  }
}

/** The repository in words, so that a person can tell what a file is about. */
function named({ transport, registry, repository }: AskedRepository) {
  return { repository: `${registry}/${repository}`, transport };
}

function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
