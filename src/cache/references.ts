import { createHash } from "node:crypto";
import { promises as fs } from "node:fs";
import { dirname, join } from "node:path";
import { type Clock, errnoOf, KeyedLock, makeFolders, RecentMap, unlessMissing } from "../base/index.ts";
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

const ALL_NAMESPACES = "*";

/** How many facts of a kind are in memory, some 150 bytes each: a node with more trees than that is rare. */
const KNOWN_FACTS = 12_288;
/** How many repositories need not be hashed again. */
const KNOWN_REPOSITORIES = 1024;

/** Where a repository's facts are. */
interface Place {
  /** Never used again, so that what is known of a repository that was forgotten meanwhile is not met again. */
  readonly number: number;
  readonly folder: string;
}

/** One fact: how it is called in memory, and its file. */
interface Fact {
  readonly key: string;
  readonly file: () => string;
}

/**
 * What registries told: which manifest a tag was, which namespaces were let into which repository, and which bytes it
 * gave. On disk: `references/<hash of transport and repository>/{tags,namespaces,given}/`, one small file a fact. Those that
 * are used are in memory, too: nobody else writes them.
 */
export class References {
  readonly #dataDir: DataDir;
  readonly #clock: Clock;
  readonly #places = new RecentMap<string, Place>(KNOWN_REPOSITORIES);
  #lastPlace = 0;
  readonly #tags = new RecentMap<string, Digest>(KNOWN_FACTS);
  /** The files in namespaces/ and given/ that are there. */
  readonly #allowed = new RecentMap<string, true>(KNOWN_FACTS);
  readonly #given = new RecentMap<string, true>(2 * KNOWN_FACTS);
  /** By file: what is on disk and what is in memory change together. */
  readonly #changing = new KeyedLock();

  constructor(dataDir: DataDir, clock: Clock) {
    this.#dataDir = dataDir;
    this.#clock = clock;
  }

  /** The digest that a tag had when the registry was last asked; undefined if it never was. */
  async digestOfTag(repository: AskedRepository, tag: string): Promise<Digest | undefined> {
    const read = (file: string) => this.#dataDir.state.read(file, (value) => parseDigest(textAt(value, "digest")));
    return this.#known(this.#tags, this.#tagFact(repository, tag), read);
  }

  /** Notes what the registry said that a tag is now. */
  async rememberTag(repository: AskedRepository, tag: string, digest: Digest): Promise<void> {
    const fact = this.#tagFact(repository, tag);
    const value = { ...named(repository), tag, digest, askedAt: this.#clock.now() };
    await this.#remember(this.#tags, fact, digest, (file) => this.#write(file, value));
  }

  /**
   * Whether the registry once gave this namespace a manifest of this repository, and did not refuse it since; or whoever
   * runs the node gave it to all namespaces (`*`).
   */
  async isAllowed(repository: AskedRepository, namespace: string): Promise<boolean> {
    for (const name of [namespace, ALL_NAMESPACES]) {
      const read = async (file: string) => {
        const allowedAt = await this.#dataDir.state.read(file, (value) => numberAt(value, "allowedAt"));
        return allowedAt === undefined ? undefined : true;
      };
      if ((await this.#known(this.#allowed, this.#namespaceFact(repository, name), read)) === true) return true;
    }
    return false;
  }

  /** Notes that the registry gave this namespace (`*`: all of them) a manifest of this repository. */
  async allow(repository: AskedRepository, namespace: string): Promise<void> {
    const fact = this.#namespaceFact(repository, namespace);
    const value = { ...named(repository), namespace, allowedAt: this.#clock.now() };
    await this.#remember(this.#allowed, fact, true, (file) => this.#write(file, value));
  }

  /** Whether these very bytes were once fetched from this repository: a digest alone proves no access to them. */
  async wasGiven(repository: AskedRepository, content: Digest | TreeId): Promise<boolean> {
    const read = async (file: string) => ((await unlessMissing(fs.stat(file))) === undefined ? undefined : true);
    return (await this.#known(this.#given, this.#givenFact(repository, content), read)) === true;
  }

  /**
   * Notes that the repository gave these bytes, or all that a tree is made of. An empty file, not synced: if a power cut
   * takes it, the bytes are fetched for proof once more.
   */
  async rememberGiven(repository: AskedRepository, content: Digest | TreeId): Promise<void> {
    await this.#remember(this.#given, this.#givenFact(repository, content), true, async (file) => {
      await makeFolders(dirname(file), 0o700);
      await fs.writeFile(file, "", { mode: 0o600 });
    });
  }

  /**
   * Notes, so that no power cut brings it back, that the registry refused this namespace this repository. What was given to
   * all namespaces would still let it in: that goes, too.
   */
  async revoke(repository: AskedRepository, namespace: string): Promise<void> {
    for (const name of [namespace, ALL_NAMESPACES]) {
      const { key, file: fileOf } = this.#namespaceFact(repository, name);
      const file = fileOf();
      this.#allowed.delete(key);
      await this.#changing.run(file, async () => {
        this.#allowed.delete(key);
        try {
          await fs.unlink(file);
        } catch (error) {
          if (errnoOf(error) === "ENOENT") return;
          throw error;
        }
        await this.#dataDir.syncFolder(dirname(file));
      });
    }
  }

  /** Files were taken away by others: from now on what there is counts. */
  forget(): void {
    for (const facts of [this.#tags, this.#allowed, this.#given]) facts.clear();
  }

  /** A fact from memory, else from disk. */
  async #known<T>(facts: RecentMap<string, T>, { key, file }: Fact, read: (file: string) => Promise<T | undefined>) {
    const known = facts.get(key);
    if (known !== undefined) return known;
    const path = file();
    return this.#changing.run(path, async () => {
      const fact = await read(path);
      if (fact !== undefined) facts.set(key, fact);
      return fact;
    });
  }

  async #remember<T>(
    facts: RecentMap<string, T>,
    { key, file }: Fact,
    fact: T,
    write: (file: string) => Promise<void>,
  ): Promise<void> {
    const path = file();
    await this.#changing.run(path, async () => {
      await write(path);
      facts.set(key, fact);
    });
  }

  #tagFact(repository: AskedRepository, tag: string): Fact {
    const { number, folder } = this.#placeOf(repository);
    return { key: `${number} ${tag}`, file: () => join(folder, "tags", `${hashOf(tag)}.json`) };
  }

  #namespaceFact(repository: AskedRepository, namespace: string): Fact {
    const { number, folder } = this.#placeOf(repository);
    return { key: `${number} ${namespace}`, file: () => join(folder, "namespaces", `${namespace}.json`) };
  }

  #givenFact(repository: AskedRepository, content: Digest | TreeId): Fact {
    const { number, folder } = this.#placeOf(repository);
    return { key: `${number} ${content}`, file: () => join(folder, "given", content.replace(":", "-")) };
  }

  #placeOf({ transport, registry, repository }: AskedRepository): Place {
    const name = `${transport} ${registry}/${repository}`;
    const known = this.#places.get(name);
    if (known !== undefined) return known;
    const place = { number: ++this.#lastPlace, folder: join(this.#dataDir.layout.references, hashOf(name)) };
    this.#places.set(name, place);
    return place;
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
