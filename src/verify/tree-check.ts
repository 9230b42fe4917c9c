import { lstatSync, readdirSync, type Stats } from "node:fs";
import { errnoOf, type FileHasher, isUnreadable, withShortPath } from "../base/index.ts";
import type { Layout, UnpackWay } from "../cache/index.ts";
import { digestParts } from "../oci/index.ts";
import { LayerIndexReader, quoteName } from "../unpack/index.ts";
import type { InodeSet } from "./inode-set.ts";
import type { TreeToVerify } from "./verify-calls.ts";

/** What checking a tree needs. */
export interface TreeCheckOptions {
  readonly tree: TreeToVerify;
  readonly layout: Layout;
  /** Files of blobs and layers that were read and are right. */
  readonly sound: InodeSet;
  /** Those that are wrong. */
  readonly wrong: InodeSet;
  readonly hasher: FileHasher;
}

/** What became of a check. */
export interface TreeCheckOutcome {
  /** What is wrong; undefined if nothing is known to be. */
  readonly says: string | undefined;
  /** Files that are no links to the cache's, where nothing says any more what they should be. */
  readonly unknownFiles: number;
}

const WAYS: readonly UnpackWay[] = ["artifact", "image"];
/** In which stat tells what a file takes. */
const DISK_USE_UNIT = 512;
/** A minute's worth of reading, at least. */
const MANY_HOLES = 64 * 2 ** 30;

/**
 * Compares a tree with what it is made of. Its files are links to blobs and files of layers, which were read before; a file
 * of its own (a copy, where links ran out) must have the content of one of them.
 */
export async function checkTree(options: TreeCheckOptions): Promise<TreeCheckOutcome> {
  const { tree, layout } = options;
  const walk = new TreeWalk(options);
  await walk.folder(Buffer.from(layout.treeFolder(tree.id)));
  const { wrongFiles, unknown, unreadFiles } = walk;
  if (unknown.size > 0 && !removeKnown(unknown, tree, layout))
    return { says: textOf(walk, tree), unknownFiles: unknown.size + unreadFiles };
  for (const path of unknown.values()) wrongFiles.push(path);
  return { says: textOf(walk, tree), unknownFiles: unreadFiles };
}

function textOf({ wrongFiles, entries }: TreeWalk, { inodes }: TreeToVerify): string | undefined {
  const [first] = wrongFiles;
  const verb = wrongFiles.length > 1 ? `and ${wrongFiles.length - 1} more have` : "has";
  const texts = first === undefined ? [] : [`${quoteName(first)} ${verb} wrong bytes`];
  if (entries < inodes) texts.push(`${inodes - entries} of its ${inodes} entries are missing`);
  if (entries > inodes) texts.push(`it has ${entries - inodes} entries more than it should`);
  return texts.length === 0 ? undefined : texts.join("; ");
}

/** Looks at everything in a tree. */
class TreeWalk {
  /** What there is, the root included. */
  entries = 1;
  readonly wrongFiles: Buffer[] = [];
  /** By the sha256 of their content, one path each: files that are no links to what was read before. */
  readonly unknown = new Map<string, Buffer>();
  /** Such files that are hardly more than holes: to read those might take for ever. */
  unreadFiles = 0;
  readonly #options: TreeCheckOptions;
  readonly #rootLength: number;

  constructor(options: TreeCheckOptions) {
    this.#options = options;
    this.#rootLength = Buffer.byteLength(options.layout.treeFolder(options.tree.id)) + 1;
  }

  async folder(path: Buffer): Promise<void> {
    for (const name of namesIn(path)) {
      const below = Buffer.concat([path, Buffer.from("/"), name]);
      const found = withShortPath(below, (short) => lstatSync(short, { throwIfNoEntry: false }));
      if (found === undefined) continue;
      this.entries++;
      if (found.isDirectory()) await this.folder(below);
      else if (found.isFile()) await this.#file(below, found);
    }
  }

  async #file(path: Buffer, found: Stats): Promise<void> {
    const { sound, wrong, hasher } = this.#options;
    const name = path.subarray(this.#rootLength);
    if (wrong.has(found.ino)) this.wrongFiles.push(name);
    else if (!sound.has(found.ino) && isMostlyHoles(found)) this.unreadFiles++;
    else if (!sound.has(found.ino)) {
      try {
        this.unknown.set((await hasher.hash(path)).hex, name);
      } catch (error) {
        if (!isUnreadable(error)) throw error;
        this.wrongFiles.push(name);
      }
    }
  }
}

function isMostlyHoles({ size, blocks }: Stats): boolean {
  return size - blocks * DISK_USE_UNIT > MANY_HOLES;
}

/** Takes out what the tree's layers hold; false if not all of them can be asked, so that nothing is known of the rest. */
function removeKnown(unknown: Map<string, Buffer>, { layers }: TreeToVerify, layout: Layout): boolean {
  let canTell = true;
  for (const digest of layers) {
    const { algorithm, hex } = digestParts(digest);
    if (algorithm === "sha256") unknown.delete(hex);
    const indexes = WAYS.map((way) => layout.layerIndex(digest, way)).filter(isThere);
    for (const index of indexes) if (!removeListed(unknown, index)) canTell = false;
    // A blob's own digest tells, whether or not it is there, if it is a sha256.
    if (indexes.length === 0 && (algorithm !== "sha256" || !isThere(layout.blob(digest)))) canTell = false;
  }
  return canTell || unknown.size === 0;
}

function removeListed(unknown: Map<string, Buffer>, indexFile: string): boolean {
  try {
    using index = new LayerIndexReader(indexFile);
    for (const row of index.rows()) {
      const hash = index.contentHash(row)?.toString("hex");
      if (hash !== undefined) unknown.delete(hash);
    }
    return true;
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    return false;
  }
}

/** None in a folder that went meanwhile: whoever asked for the check looks whether the tree is there still. */
function namesIn(folder: Buffer): readonly Buffer[] {
  try {
    return withShortPath(folder, (short) => readdirSync(short, { encoding: "buffer" }));
  } catch (error) {
    if (!["ENOENT", "ENOTDIR"].includes(errnoOf(error) ?? "")) throw error;
    return [];
  }
}

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}
