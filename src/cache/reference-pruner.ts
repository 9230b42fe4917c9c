import { promises as fs } from "node:fs";
import { join } from "node:path";
import { errnoOf, unlessMissing } from "../base/index.ts";
import { type Digest, parseDigest } from "../oci/index.ts";
import type { DataDir } from "./data-dir.ts";
import type { TreeId } from "./layout.ts";
import { type CacheClock, type Moment, sureAgeMs } from "./moment.ts";
import type { References } from "./references.ts";
import { textAt } from "./state-file.ts";

/** What pruning asks. */
export interface ReferencePrunerOptions {
  readonly dataDir: DataDir;
  readonly references: Pick<References, "forget">;
  /** Whether the cache has anything of it. */
  readonly isStored: (content: Digest | TreeId) => boolean;
  readonly clock: CacheClock;
}

/** What was learned in this time stays: a pull may be about to need it. */
const KEPT_MS = 24 * 60 * 60_000;
const TREE_ID = /^[0-9a-f]{64}$/;

/**
 * Takes away what registries told of bytes that the cache has no more: it would only be read with them. Without it they
 * are asked once more, that is all.
 */
export class ReferencePruner {
  readonly #options: ReferencePrunerOptions;
  /** When this began, by both clocks. */
  readonly #begun: { readonly wallMs: number; readonly steadyMs: number };

  constructor(options: ReferencePrunerOptions) {
    const { clock } = options;
    this.#options = options;
    this.#begun = { wallMs: clock.now(), steadyMs: clock.monotonicMs() };
  }

  /** Looks at all of it once. */
  async prune(): Promise<void> {
    try {
      await this.#prune();
    } finally {
      this.#options.references.forget();
    }
  }

  async #prune(): Promise<void> {
    const { references } = this.#options.dataDir.layout;
    for (const name of await fs.readdir(references)) {
      const folder = join(references, name);
      if (!TREE_ID.test(name) || (await unlessMissing(fs.lstat(folder)))?.isDirectory() !== true) continue;
      const given = await this.#pruneFolder(join(folder, "given"), async (file) => contentOf(file));
      const tags = await this.#pruneFolder(join(folder, "tags"), (file, path) => this.#digestOfTag(file, path));
      if (given + tags > 0) continue;
      // Who was let in counts only with bytes that came from there.
      await this.#pruneFolder(join(folder, "namespaces"), async () => undefined);
      for (const part of ["given", "tags", "namespaces", "."]) await removeIfEmpty(join(folder, part));
    }
  }

  /** Removes the old files of a folder whose content is not stored; how many stay is the answer. */
  async #pruneFolder(
    folder: string,
    contentIn: (name: string, path: string) => Promise<Digest | TreeId | undefined>,
  ): Promise<number> {
    const { isStored, clock } = this.#options;
    const names = (await unlessMissing(fs.readdir(folder))) ?? [];
    let kept = names.length;
    for (const name of names) {
      const path = join(folder, name);
      const found = await unlessMissing(fs.lstat(path));
      if (found === undefined || sureAgeMs(clock, this.#momentOf(found.mtimeMs)) < KEPT_MS) continue;
      const content = await contentIn(name, path);
      if (content !== undefined && isStored(content)) continue;
      await unlessMissing(fs.unlink(path));
      kept--;
    }
    return kept;
  }

  /** A wall clock that jumps makes nothing old that was written since this began. */
  #momentOf(wallMs: number): Moment {
    const { wallMs: begunMs, steadyMs } = this.#begun;
    return { wallMs, seenMs: steadyMs, ageWhenSeenMs: Math.max(0, begunMs - wallMs) };
  }

  async #digestOfTag(name: string, path: string): Promise<Digest | undefined> {
    if (!name.endsWith(".json")) return undefined;
    return this.#options.dataDir.state.read(path, (value) => parseDigest(textAt(value, "digest")));
  }
}

/** What a file in given/ is about. */
function contentOf(name: string): Digest | TreeId | undefined {
  if (TREE_ID.test(name)) return name as TreeId;
  try {
    return parseDigest(name.replace("-", ":"));
  } catch {
    return undefined;
  }
}

async function removeIfEmpty(folder: string): Promise<void> {
  try {
    await unlessMissing(fs.rmdir(folder));
  } catch (error) {
    if (errnoOf(error) !== "ENOTEMPTY") throw error;
  }
}
