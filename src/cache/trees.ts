import { promises as fs, type Stats } from "node:fs";
import { join } from "node:path";
import { type Clock, counted, fileStamp, lookNow, RecentMap, renameFolder, unlessMissing } from "../base/index.ts";
import { type Digest, isJsonObject, type JsonObject, parseDigest } from "../oci/index.ts";
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
  /** What was found to be wrong with its files, until it is mended; undefined if nothing was. */
  readonly damage: string | undefined;
  /** What people call it: the references that it was made present for, the latest last. */
  readonly references: readonly string[];
}

/** A file of a tree: its path from the root, and its size. */
export interface FileSample {
  readonly path: string;
  readonly size: number;
}

/** What a new tree's record says beside its id. */
export interface TreeFacts extends Omit<Tree, "id" | "folder" | "damage" | "references"> {
  readonly layers: readonly Digest[];
  /** Of its files that are no links to those of its layers: what goes with it alone. 0 if left out. */
  readonly copiedBytes?: number;
  /** Some of its files: they are looked at whenever the tree is. */
  readonly files?: readonly FileSample[];
  /** What people call it. */
  readonly references?: readonly string[];
  /** From what else it can be made again; known to whoever makes trees. */
  readonly recipe?: JsonObject | undefined;
}

/** A tree's record: what it is made of. Its folder may be gone. */
export interface TreeRecord extends TreeFacts {
  readonly id: TreeId;
  readonly damage: string | undefined;
  readonly references: readonly string[];
  /** When it was made, or mended: milliseconds since 1970. */
  readonly createdAt: number | undefined;
  /** When it was found to be damaged. */
  readonly damagedAt: number | undefined;
  /** Its root folder's time of change, in whole milliseconds. */
  readonly rootTimeMs: number | undefined;
}

/** What finding a tree needs of its record. */
type FoundRecord = Pick<TreeRecord, "manifest" | "bytes" | "inodes" | "damage" | "references" | "rootTimeMs" | "files">;

/** Replaces in a tree that is mounted what differs from the staged one, durably; what it takes out goes into tmp/. */
export type MendTree = (staged: string, tree: string) => Promise<void>;

/** A tree may have had any number of tags. */
const MOST_REFERENCES = 20;
/** Of trees that have more: so many of them are not noted again and again, each time in another one's place. */
const KNOWN_NAMES = 1024;
/** So many records need not be read again as long as they lie there unchanged, some 500 bytes each. */
const KNOWN_RECORDS = 12_288;
const TREE_RECORD = /^([0-9a-f]{64})\.json$/;
const TOUCHED = "somebody put something into its folder or took something away";

/** The ready trees of a data dir. A tree is there when both its folder and its record are. */
export class Trees {
  readonly #dataDir: DataDir;
  readonly #clock: Clock;
  /** What was noted in place of another name. */
  readonly #named = new RecentMap<string, true>(KNOWN_NAMES);
  readonly #known = new RecentMap<TreeId, { readonly stamp: string; readonly record: FoundRecord }>(KNOWN_RECORDS);

  constructor(dataDir: DataDir, clock: Clock) {
    this.#dataDir = dataDir;
    this.#clock = clock;
  }

  /** A tree, if its folder and its record are there; `damage` says whether it is whole, as far as that is known. */
  async find(id: TreeId): Promise<Tree | undefined> {
    const folder = this.#dataDir.layout.treeFolder(id);
    const known = this.#knownNow(id);
    if (known !== undefined) {
      const lookAt = (path: string) => lookNow(path, { follow: false });
      const samples = known.files?.map(({ path }) => lookAt(join(folder, path))) ?? [];
      return treeFrom({ id, folder }, known, { root: lookAt(folder), samples });
    }
    const record = await this.#recordInUse(id);
    if (record === undefined) return undefined;
    const lookAt = (path: string) => unlessMissing(fs.lstat(path));
    const samples = await Promise.all(record.files?.map(({ path }) => lookAt(join(folder, path))) ?? []);
    return treeFrom({ id, folder }, record, { root: await lookAt(folder), samples });
  }

  /** The record that was read before, if its file is the same still. */
  #knownNow(id: TreeId): FoundRecord | undefined {
    const known = this.#known.get(id);
    if (known === undefined) return undefined;
    const file = lookNow(this.#dataDir.layout.treeRecord(id), { follow: true });
    return file !== undefined && fileStamp(file) === known.stamp ? known.record : undefined;
  }

  /** As `record`, and kept in memory. */
  async #recordInUse(id: TreeId): Promise<FoundRecord | undefined> {
    const file = await unlessMissing(fs.stat(this.#dataDir.layout.treeRecord(id)));
    if (file === undefined) return undefined;
    const stamp = fileStamp(file);
    const read = await this.record(id);
    if (read === undefined) return undefined;
    const { manifest, bytes, inodes, damage, references, rootTimeMs, files = [] } = read;
    const record = { manifest, bytes, inodes, damage, references, rootTimeMs, files };
    this.#known.set(id, { stamp, record });
    return record;
  }

  /** The record of a tree, whether or not its folder is there; a corrupt one is reported, also to `onCorrupt`, and moved aside. */
  async record(id: TreeId, onCorrupt?: () => void): Promise<TreeRecord | undefined> {
    const { layout, state } = this.#dataDir;
    return state.read(layout.treeRecord(id), (value) => ({ ...recordFrom(value), id }), onCorrupt);
  }

  /** The ids of all trees that have a record. */
  async ids(): Promise<readonly TreeId[]> {
    const names = await fs.readdir(this.#dataDir.layout.trees);
    return names.flatMap((name) => (TREE_RECORD.exec(name)?.[1] ?? []) as TreeId);
  }

  /** Notes that a tree was made present for a reference. The caller holds a lease of it. */
  async addReference(id: TreeId, reference: string): Promise<void> {
    const references = (await this.record(id))?.references;
    if (references === undefined || references.includes(reference)) return;
    const name = `${id} ${reference}`;
    if (references.length >= MOST_REFERENCES && this.#named.get(name) === true) return;
    this.#named.set(name, true);
    const all = [...references, reference].slice(-MOST_REFERENCES);
    await this.#dataDir.state.merge(this.#dataDir.layout.treeRecord(id), { references: all });
  }

  /**
   * Notes that a tree's files are not what they should be: it is not handed out any more before it is mended. The caller
   * holds a lease of it.
   */
  async markDamaged(id: TreeId, damage: string): Promise<void> {
    if ((await this.record(id)) === undefined) return;
    const file = this.#dataDir.layout.treeRecord(id);
    await this.#dataDir.state.merge(file, { damage, damagedAt: this.#clock.now() });
  }

  /**
   * Takes back that a tree is damaged, if it was found to be at that time: its files were read since, and are right. The
   * caller holds a lease of it. False if there is nothing to take back.
   */
  async unmark(id: TreeId, damagedAt: number | undefined): Promise<boolean> {
    const record = await this.record(id);
    if (record?.damage === undefined || record.damagedAt !== damagedAt) return false;
    const file = this.#dataDir.layout.treeRecord(id);
    await this.#dataDir.state.merge(file, { damage: undefined, damagedAt: undefined });
    return true;
  }

  /** Whether the folder of a tree that was found is still there: what is evicted goes as a whole. */
  async isThere(id: TreeId): Promise<boolean> {
    return (await unlessMissing(fs.lstat(this.#dataDir.layout.treeFolder(id))))?.isDirectory() ?? false;
  }

  /**
   * Makes a staged folder, synced by the caller, the tree of that id. The record goes last: a crash in between leaves
   * a folder without one. Volumes may be mounted from a folder that is there, whatever its record said: it stays, and what
   * is wrong in it is replaced by `mend` from the staged one.
   */
  async commit(id: TreeId, staged: string, facts: TreeFacts, mend: MendTree): Promise<Tree> {
    const { layout, state } = this.#dataDir;
    const folder = layout.treeFolder(id);
    const there = await unlessMissing(fs.lstat(folder));
    if (there?.isDirectory()) await mend(staged, folder);
    else {
      // A file or a link that is where the folder goes.
      if (there !== undefined) await fs.rm(folder);
      await renameFolder(staged, folder);
      await this.#dataDir.syncFolder(layout.trees);
    }
    const rootTimeMs = Math.floor((await fs.lstat(folder)).mtimeMs);
    const known = (await this.record(id))?.references ?? [];
    const references = [...new Set([...known, ...(facts.references ?? [])])].slice(-MOST_REFERENCES);
    const changes = { rootTimeMs, createdAt: this.#clock.now(), damage: undefined, damagedAt: undefined };
    await state.merge(layout.treeRecord(id), { id, ...facts, references, ...changes });
    // The next volume of it is to find it as fast as the one after that.
    await this.#recordInUse(id);
    const { manifest, bytes, inodes } = facts;
    return { id, folder, manifest, bytes, inodes, damage: undefined, references };
  }
}

/** The tree of a record, by what there is of it: its root, and its samples in their order. */
function treeFrom(
  place: Pick<Tree, "id" | "folder">,
  record: FoundRecord,
  { root, samples }: { readonly root: Stats | undefined; readonly samples: readonly (Stats | undefined)[] },
): Tree | undefined {
  if (root?.isDirectory() !== true) return undefined;
  const { manifest, bytes, inodes, references, rootTimeMs, files = [] } = record;
  // Nobody puts anything into a tree, or takes anything out of it, but by mistake.
  const isTouched = rootTimeMs !== undefined && Math.floor(root.mtimeMs) !== rootTimeMs;
  const damage = record.damage ?? (isTouched ? TOUCHED : wrongSample(files, samples));
  return { ...place, manifest, bytes, inodes, damage, references };
}

/** What is wrong with the first file that has not the size that it should have. */
function wrongSample(files: readonly FileSample[], samples: readonly (Stats | undefined)[]): string | undefined {
  for (const [at, { path, size }] of files.entries()) {
    const file = samples[at];
    if (file?.isFile() !== true) return `${path} is missing`;
    if (file.size !== size) return `${path} has ${counted(file.size, "byte")} instead of ${size}`;
  }
  return undefined;
}

function samplesFrom(value: unknown): readonly FileSample[] {
  if (!Array.isArray(value)) return [];
  return value.filter(isJsonObject).map((file) => ({ path: textAt(file, "path"), size: numberAt(file, "size") }));
}

function recordFrom(value: JsonObject): Omit<TreeRecord, "id"> {
  const { layers, files, recipe, damage, damagedAt, references, rootTimeMs, createdAt, copiedBytes } = value;
  return {
    manifest: parseDigest(textAt(value, "manifest")),
    bytes: numberAt(value, "bytes"),
    inodes: numberAt(value, "inodes"),
    // Records of older drivers may lack them.
    layers: Array.isArray(layers) ? layers.map((layer) => parseDigest(String(layer))) : [],
    copiedBytes: copiedBytes === undefined ? 0 : numberAt(value, "copiedBytes"),
    files: samplesFrom(files),
    recipe: isJsonObject(recipe) ? recipe : undefined,
    references: Array.isArray(references) ? references.filter((each) => typeof each === "string") : [],
    createdAt: createdAt === undefined ? undefined : numberAt(value, "createdAt"),
    damage: damage === undefined ? undefined : textAt(value, "damage"),
    damagedAt: damagedAt === undefined ? undefined : numberAt(value, "damagedAt"),
    rootTimeMs: rootTimeMs === undefined ? undefined : numberAt(value, "rootTimeMs"),
  };
}
