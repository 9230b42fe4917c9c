import { counted, type FileHasher } from "../base/index.ts";
import type { Layout } from "../cache/index.ts";
import type { InodeSet } from "./inode-set.ts";
import { TreeComparison } from "./tree-comparison.ts";
import { walkTree } from "./tree-walk.ts";
import { UnknownFiles } from "./unknown-files.ts";
import type { TreePart, TreeToVerify } from "./verify-calls.ts";

/** Files of blobs and layers that were read before. */
export interface KnownInodes {
  /** Those with the right content. */
  readonly sound: InodeSet;
  /** Those that are wrong. */
  readonly wrong: InodeSet;
  /** Those, and folders, that had another mode. */
  readonly changed: InodeSet;
}

/** What checking a tree needs. */
export interface TreeCheckOptions extends KnownInodes {
  readonly tree: TreeToVerify;
  /** What it is made of, in its order; undefined where nothing says that. */
  readonly parts: readonly TreePart[] | undefined;
  readonly layout: Layout;
  readonly hasher: FileHasher;
  readonly signal: AbortSignal;
}

/** What became of a check. */
export interface TreeCheckOutcome {
  /** What is wrong; undefined if nothing is known to be. */
  readonly says: string | undefined;
  /** Files that are no links to the cache's, where nothing says any more what they should be. */
  readonly unknownFiles: number;
}

/**
 * Compares a tree with what it is made of, name by name: its files are links to blobs and files of layers, which were read
 * before; a file of its own (a copy, say) is read. Where some of its parts are not there any more, only its other files'
 * content is looked at, which must be that of some part, and how many entries there are.
 */
export async function checkTree(options: TreeCheckOptions): Promise<TreeCheckOutcome> {
  const { tree, layout } = options;
  const unknown = new UnknownFiles(options);
  using comparison = new TreeComparison(options, unknown);
  const isWhole = await comparison.run();
  const { faults, names } = comparison;
  const root = Buffer.from(layout.treeFolder(tree.id));
  const entries = await walkTree(root, names, async (path, found) => {
    if (isWhole) faults.add("extra", path);
    else if (found.isFile()) await unknown.add(path, found, faults);
    return !isWhole;
  });
  unknown.settle(faults);
  const texts = [...faults.texts];
  const missing = isWhole ? 0 : tree.inodes - entries;
  if (missing > 0)
    texts.push(`${missing} of its ${counted(tree.inodes, "entry", "entries")} ${missing === 1 ? "is" : "are"} missing`);
  if (missing < 0) texts.push(`it has ${counted(-missing, "entry", "entries")} more than it should`);
  return { says: texts.length === 0 ? undefined : texts.join("; "), unknownFiles: unknown.count };
}
