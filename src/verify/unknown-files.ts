import type { Stats } from "node:fs";
import { below, type FileHasher, isUnreadable } from "../base/index.ts";
import type { Layout, UnpackWay } from "../cache/index.ts";
import { type Digest, digestParts } from "../oci/index.ts";
import { LayerIndexReader } from "../unpack/index.ts";
import type { KnownInodes, TreeCheckOptions } from "./tree-check.ts";
import type { TreeFaults } from "./tree-faults.ts";
import type { TreePart, TreeToVerify } from "./verify-calls.ts";

/** Whatever an image's layer holds, it also holds as an artifact's. */
const KINDS = ["file", "folder"] as const;
/** In which stat tells what a file takes. */
const DISK_USE_UNIT = 512;
/** A minute's worth of reading, at least. */
const MANY_HOLES = 64 * 2 ** 30;

/** Whether a file is hardly more than holes: to read those might take for ever. */
export function isMostlyHoles({ size, blocks }: Stats): boolean {
  return size - blocks * DISK_USE_UNIT > MANY_HOLES;
}

/** Files of a tree of which is not known what they should hold: any of them may hold what anything in its layers does. */
export class UnknownFiles {
  readonly #tree: TreeToVerify;
  readonly #parts: readonly TreePart[] | undefined;
  readonly #layout: Layout;
  readonly #inodes: KnownInodes;
  readonly #hasher: FileHasher;
  readonly #root: Buffer;
  /** By the sha256 of their content, one path each: files that are no links to what was read before. */
  readonly #files = new Map<string, Buffer>();
  #unread = 0;
  #canTell = true;

  constructor({ tree, parts, layout, hasher, ...inodes }: TreeCheckOptions) {
    this.#tree = tree;
    this.#parts = parts;
    this.#layout = layout;
    this.#inodes = inodes;
    this.#hasher = hasher;
    this.#root = Buffer.from(layout.treeFolder(tree.id));
  }

  /** Those of which nothing says what they should be. */
  get count(): number {
    return this.#unread + (this.#canTell ? 0 : this.#files.size);
  }

  /** Notes a file that cannot be read in a time that anybody would wait. */
  leaveOut(): void {
    this.#unread++;
  }

  /** Reads a file, unless it is a link to what was read before. */
  async add(path: Buffer, found: Stats, faults: TreeFaults): Promise<void> {
    const { sound, wrong, changed } = this.#inodes;
    if (wrong.has(found.ino)) faults.add("bytes", path);
    else if (changed.has(found.ino)) faults.add("mode", path);
    else if (sound.has(found.ino)) return;
    else if (isMostlyHoles(found)) this.#unread++;
    else await this.#read(path, faults);
  }

  async #read(path: Buffer, faults: TreeFaults): Promise<void> {
    try {
      this.#files.set((await this.#hasher.hash(below(this.#root, path))).hex, Buffer.from(path));
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      faults.add("bytes", path);
    }
  }

  /** Notes those that hold what nothing in the tree's layers holds, if all of these can be asked. */
  settle(faults: TreeFaults): void {
    if (this.#files.size === 0) return;
    this.#canTell = this.#removeKnown();
    if (this.#canTell) for (const path of this.#files.values()) faults.add("bytes", path);
  }

  /** Takes out what the tree's layers hold; false if not all of them can be asked, so that nothing is known of the rest. */
  #removeKnown(): boolean {
    let canTell = true;
    for (const { digest, kind } of this.#asked()) {
      const { algorithm, hex } = digestParts(digest);
      if (kind === "file" && algorithm === "sha256") this.#files.delete(hex);
      else if (kind === "file" || !this.#removeListed(this.#layout.layerIndex(digest, wayOf(kind)))) canTell = false;
    }
    return canTell || this.#files.size === 0;
  }

  /**
   * What the tree may be made of. Where nothing says how a layer is used, it may be in every way: that its blob is in the
   * cache, or that it is unpacked for images, may be for the sake of other trees.
   */
  *#asked(): Generator<{ readonly digest: Digest; readonly kind: TreePart["kind"] }> {
    if (this.#parts === undefined)
      for (const digest of this.#tree.layers) for (const kind of KINDS) yield { digest, kind };
    else for (const { descriptor, kind } of this.#parts) yield { digest: descriptor.digest, kind };
  }

  /** False where there is no index, or one that does not say the hash of all that a whole file holds. */
  #removeListed(indexFile: string): boolean {
    try {
      using index = new LayerIndexReader(indexFile);
      let isSaid = true;
      for (const row of index.rows()) {
        const hash = index.contentHash(row)?.toString("hex");
        if (hash !== undefined) this.#files.delete(hash);
        else if (row.isSparse) isSaid = false;
      }
      return isSaid;
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      return false;
    }
  }
}

function wayOf(kind: "folder" | "image"): UnpackWay {
  return kind === "folder" ? "artifact" : "image";
}
