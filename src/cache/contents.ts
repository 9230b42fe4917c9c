import { promises as fs } from "node:fs";
import { join } from "node:path";
import { type Clock, errnoOf, unlessMissing } from "../base/index.ts";
import { type Digest, digestParts, parseDigest } from "../oci/index.ts";
import type { DataDir } from "./data-dir.ts";
import { type DiskUse, nothingUsed, sumOfUses } from "./disk-space.ts";
import { folderUse } from "./folder-use.ts";
import type { UnpackWay } from "./layout.ts";
import { type Moment, momentAt } from "./moment.ts";
import { numberAt } from "./state-file.ts";
import type { Sweeper } from "./sweeper.ts";

/** The bytes of one digest, in whatever forms the cache has them. */
export interface Content {
  readonly digest: Digest;
  /** How many trees are made of it. */
  trees: number;
  /** As a manifest or a file layer. */
  blob: DiskUse | undefined;
  /** Unpacked, by way of unpacking. */
  readonly layers: Map<UnpackWay, DiskUse>;
  /** When it came; undefined before that was looked at. */
  came: Moment | undefined;
}

const ALGORITHMS = ["sha256", "sha512"] as const;
const WAYS: readonly UnpackWay[] = ["artifact", "image"];
const LAYER_FOLDER = /^([0-9a-f]+)\.(artifact|image)$/;

/** What a content takes in all its forms. */
export function useOf({ blob, layers }: Content): DiskUse {
  return sumOfUses([blob ?? nothingUsed, ...layers.values()]);
}

/** The blobs and unpacked layers of a data dir: which there are, how large they are, how many trees need each. */
export class Contents {
  readonly #dataDir: DataDir;
  readonly #sweeper: Sweeper;
  readonly #clock: Clock;
  readonly #byDigest = new Map<Digest, Content>();

  constructor(options: { readonly dataDir: DataDir; readonly sweeper: Sweeper; readonly clock: Clock }) {
    this.#dataDir = options.dataDir;
    this.#sweeper = options.sweeper;
    this.#clock = options.clock;
  }

  /** What is known of a digest, made if nothing is. */
  of(digest: Digest): Content {
    const known = this.#byDigest.get(digest);
    if (known !== undefined) return known;
    const content: Content = { digest, trees: 0, blob: undefined, layers: new Map(), came: undefined };
    this.#byDigest.set(digest, content);
    return content;
  }

  /** Those that no tree is made of. */
  withoutTree(): readonly Content[] {
    return [...this.#byDigest.values()].filter(({ trees }) => trees === 0);
  }

  /** Whether there is anything of a digest. */
  has(digest: Digest): boolean {
    return this.#byDigest.has(digest);
  }

  /** How many trees are made of it. */
  treesOf(digest: Digest): number {
    return this.#byDigest.get(digest)?.trees ?? 0;
  }

  /** What all of them take, as last looked at. */
  use(): { readonly blobs: DiskUse; readonly layers: DiskUse } {
    const all = [...this.#byDigest.values()];
    return {
      blobs: sumOfUses(all.map(({ blob }) => blob ?? nothingUsed)),
      layers: sumOfUses(all.flatMap(({ layers }) => [...layers.values()])),
    };
  }

  /** Looks what came and went since the last time: names are listed, and only what is new is measured. */
  async refresh(): Promise<void> {
    const { blobs, layers } = this.#dataDir.layout;
    for (const algorithm of ALGORITHMS) {
      await this.#refreshBlobs(algorithm, await namesIn(join(blobs, algorithm)));
      await this.#refreshLayers(algorithm, await namesIn(join(layers, algorithm)));
    }
    for (const [digest, content] of this.#byDigest)
      if (content.trees === 0 && content.blob === undefined && content.layers.size === 0) this.#byDigest.delete(digest);
  }

  /** Takes all forms of a digest away. */
  async discard({ digest }: Content): Promise<void> {
    const { layout } = this.#dataDir;
    // A file needs no room elsewhere to go, which a full disk may not have.
    await removeFile(layout.blob(digest));
    for (const way of WAYS) {
      await removeFile(layout.layerIndex(digest, way));
      await removeFile(layout.layerUse(digest, way));
      await this.#sweeper.discardOrEmpty(layout.layerFolder(digest, way));
    }
    const content = this.of(digest);
    content.blob = undefined;
    content.layers.clear();
    if (content.trees === 0) this.#byDigest.delete(digest);
  }

  async #refreshBlobs(algorithm: string, names: ReadonlySet<string>): Promise<void> {
    for (const content of this.#byDigest.values()) {
      const { algorithm: own, hex } = digestParts(content.digest);
      if (own === algorithm && !names.has(hex)) content.blob = undefined;
    }
    for (const hex of names) {
      const digest = digestFrom(algorithm, hex);
      if (digest === undefined || this.#byDigest.get(digest)?.blob !== undefined) continue;
      const file = await unlessMissing(fs.lstat(this.#dataDir.layout.blob(digest)));
      if (file === undefined) continue;
      const content = this.of(digest);
      content.blob = { bytes: file.blocks * 512, inodes: 1 };
      content.came ??= momentAt(this.#clock, file.mtimeMs);
    }
  }

  async #refreshLayers(algorithm: string, names: ReadonlySet<string>): Promise<void> {
    for (const content of this.#byDigest.values()) {
      const { algorithm: own, hex } = digestParts(content.digest);
      if (own !== algorithm) continue;
      for (const way of content.layers.keys()) if (!names.has(`${hex}.${way}`)) content.layers.delete(way);
    }
    for (const name of names) {
      const [, hex = "", way] = LAYER_FOLDER.exec(name) ?? [];
      const digest = digestFrom(algorithm, hex);
      if (digest === undefined || this.#byDigest.get(digest)?.layers.has(way as UnpackWay)) continue;
      await this.#measureLayer(digest, way as UnpackWay);
    }
  }

  /** What was noted when the layer was unpacked, else what is counted now. */
  async #measureLayer(digest: Digest, way: UnpackWay): Promise<void> {
    const { layout, state } = this.#dataDir;
    const folder = layout.layerFolder(digest, way);
    const found = await unlessMissing(fs.lstat(folder));
    if (found?.isDirectory() !== true) return;
    const noted = await state.read(layout.layerUse(digest, way), (value) => {
      return { bytes: numberAt(value, "bytes"), inodes: numberAt(value, "inodes") };
    });
    const content = this.of(digest);
    content.layers.set(way, noted ?? (await folderUse(folder)));
    content.came ??= momentAt(this.#clock, found.ctimeMs);
  }
}

async function namesIn(folder: string): Promise<ReadonlySet<string>> {
  return new Set(await fs.readdir(folder));
}

/** Undefined for the names of files that are not ours. */
function digestFrom(algorithm: string, hex: string): Digest | undefined {
  if (!/^[0-9a-f]+$/.test(hex)) return undefined;
  try {
    return parseDigest(`${algorithm}:${hex}`);
  } catch {
    return undefined;
  }
}

async function removeFile(path: string): Promise<void> {
  try {
    await fs.unlink(path);
  } catch (error) {
    // A folder that somebody put there is no file of ours.
    if (!["ENOENT", "EISDIR", "ENOTDIR"].includes(errnoOf(error) ?? "")) throw error;
  }
}
