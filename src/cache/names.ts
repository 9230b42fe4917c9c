import { randomUUID } from "node:crypto";
import { promises as fs } from "node:fs";
import { dirname, join, relative } from "node:path";
import { describeError, KeyedLock, type Logger, makeFolders, unlessMissing } from "../base/index.ts";
import { formatReference, type Reference } from "../oci/index.ts";
import type { Layout, TreeId } from "./layout.ts";

/** Links that let people find trees by name: `names/<namespace>/<reference>`, as the Go driver names them. */
export class Names {
  readonly #layout: Layout;
  readonly #log: Logger;
  /** Held by link. */
  readonly #changing = new KeyedLock();

  constructor(layout: Layout, log: Logger) {
    this.#layout = layout;
    this.#log = log;
  }

  /** Points a reference's link at its newest tree. A link that cannot be made is a log line: nothing depends on it. */
  async link(namespace: string, reference: Reference, tree: TreeId): Promise<void> {
    const folder = join(this.#layout.names, namespace);
    const link = join(folder, formatReference(reference).replaceAll(/[/.:@]/g, "-"));
    const target = relative(folder, this.#layout.treeFolder(tree));
    try {
      if ((await readLink(link)) === target) return;
      await makeFolders(folder, 0o700);
      await this.#changing.run(link, () => this.#replace(link, target));
    } catch (error) {
      this.#log.warn("cannot make the link that names a tree", { link, reason: describeError(error) });
    }
  }

  /** Takes the links away whose trees are gone. What is no link of ours is left alone. */
  async removeDangling(): Promise<void> {
    const { names } = this.#layout;
    for (const namespace of await foldersIn(names)) {
      const folder = join(names, namespace);
      for (const name of await fs.readdir(folder)) {
        const link = join(folder, name);
        await this.#changing.run(link, () => this.#removeIfDangling(folder, link));
      }
    }
  }

  async #removeIfDangling(folder: string, link: string): Promise<void> {
    const target = await readLink(link);
    const tree = target === undefined ? undefined : join(folder, target);
    if (tree === undefined || dirname(tree) !== this.#layout.trees) return;
    if ((await unlessMissing(fs.lstat(tree))) === undefined) await unlessMissing(fs.unlink(link));
  }

  async #replace(link: string, target: string): Promise<void> {
    const temporary = join(this.#layout.tmp, `link-${randomUUID()}`);
    await fs.symlink(target, temporary);
    try {
      await fs.rename(temporary, link);
    } catch (error) {
      await fs.rm(temporary);
      throw error;
    }
  }
}

async function foldersIn(folder: string): Promise<readonly string[]> {
  const entries = await fs.readdir(folder, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}

async function readLink(path: string): Promise<string | undefined> {
  try {
    return await fs.readlink(path);
  } catch {
    // Not there, or not a link: either way the link is made anew, and that reports what is wrong.
    return undefined;
  }
}
