import { promises as fs } from "node:fs";
import { type Clock, syncFolder, unlessMissing } from "../base/index.ts";
import { type Digest, type JsonObject, parseDigest } from "../oci/index.ts";
import type { DataDir } from "./data-dir.ts";
import type { TreeId } from "./layout.ts";
import { numberAt, textAt } from "./state-file.ts";

/** A tree that is ready to be mounted. */
export interface Tree {
  readonly id: TreeId;
  readonly folder: string;
  /** The manifest that it was made from. */
  readonly manifest: Digest;
  /** Sum of its files' sizes. */
  readonly bytes: number;
  /** Files, folders and links in it, its root included. */
  readonly inodes: number;
}

/** What a new tree's record says beside its id. */
export type TreeFacts = Omit<Tree, "id" | "folder"> & { readonly layers: readonly Digest[] };

/** The ready trees of a data dir. A tree is there when both its folder and its record are. */
export class Trees {
  readonly #dataDir: DataDir;
  readonly #clock: Clock;

  constructor(dataDir: DataDir, clock: Clock) {
    this.#dataDir = dataDir;
    this.#clock = clock;
  }

  /** A tree, if it is there and whole. */
  async find(id: TreeId): Promise<Tree | undefined> {
    const { layout, state } = this.#dataDir;
    const folder = layout.treeFolder(id);
    const tree = await state.read(layout.treeRecord(id), (value) => ({ ...treeFrom(value), id, folder }));
    if (tree === undefined) return undefined;
    return (await isFolder(folder)) ? tree : undefined;
  }

  /** Whether the folder of a tree that was found is still there: what is evicted goes as a whole. */
  async isThere(id: TreeId): Promise<boolean> {
    return isFolder(this.#dataDir.layout.treeFolder(id));
  }

  /**
   * Makes a staged folder, synced by the caller, the tree of that id. The record goes last: a crash in between leaves
   * a folder without one. Such a folder is whole, and volumes may be mounted from it: it stays, and gets its record.
   */
  async commit(id: TreeId, staged: string, facts: TreeFacts): Promise<Tree> {
    const { layout, state } = this.#dataDir;
    const folder = layout.treeFolder(id);
    const there = await unlessMissing(fs.lstat(folder));
    if (!there?.isDirectory()) {
      // A file or a link that is where the folder goes.
      if (there !== undefined) await fs.rm(folder);
      await fs.rename(staged, folder);
      await syncFolder(layout.trees);
    }
    await state.write(layout.treeRecord(id), { id, ...facts, createdAt: this.#clock.now() });
    return { id, folder, manifest: facts.manifest, bytes: facts.bytes, inodes: facts.inodes };
  }
}

function treeFrom(value: JsonObject): Omit<Tree, "id" | "folder"> {
  return {
    manifest: parseDigest(textAt(value, "manifest")),
    bytes: numberAt(value, "bytes"),
    inodes: numberAt(value, "inodes"),
  };
}

async function isFolder(path: string): Promise<boolean> {
  return (await unlessMissing(fs.lstat(path)))?.isDirectory() ?? false;
}
