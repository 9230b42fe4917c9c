import { promises as fs } from "node:fs";
import { join } from "node:path";
import { type Clock, errnoOf, Semaphore, unlessMissing } from "../base/index.ts";
import { type Digest, parseDigest } from "../oci/index.ts";
import type { DataDir } from "./data-dir.ts";
import { openFolder } from "./open-folder.ts";
import { type DiskUse, nothingUsed, sumOfUses, UseSum } from "./disk-space.ts";
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
  layers: LayerUses;
  /** When it came; undefined before that was looked at. */
  came: Moment | undefined;
  /** Which look saw its forms last: there may be ten thousands of them, so nothing larger is kept for that. */
  seen: number;
}

type LayerUses = Readonly<Partial<Record<UnpackWay, DiskUse>>>;

const noLayers: LayerUses = Object.freeze({});

const ALGORITHMS = ["sha256", "sha512"] as const;
const WAYS: readonly UnpackWay[] = ["artifact", "image"];
const LAYER_FOLDER = /^([0-9a-f]+)\.(artifact|image)$/;

/** What a content takes in all its forms. */
export function useOf({ blob, layers }: Content): DiskUse {
  return sumOfUses([blob ?? nothingUsed, ...Object.values(layers)]);
}

/** The blobs and unpacked layers of a data dir: which there are, how large they are, how many trees need each. */
export class Contents {
  readonly #dataDir: DataDir;
  readonly #sweeper: Sweeper;
  readonly #clock: Clock;
  readonly #byDigest = new Map<Digest, Content>();
  readonly #looking = new Semaphore(1);
  /** How often it was looked at what is there. */
  #looks = 0;
  #copiedBytes = 0;

  constructor(options: { readonly dataDir: DataDir; readonly sweeper: Sweeper; readonly clock: Clock }) {
    this.#dataDir = options.dataDir;
    this.#sweeper = options.sweeper;
    this.#clock = options.clock;
  }

  /** What is known of a digest, made if nothing is. */
  of(digest: Digest): Content {
    const known = this.#byDigest.get(digest);
    if (known !== undefined) return known;
    const content: Content = { digest, trees: 0, blob: undefined, layers: noLayers, came: undefined, seen: 0 };
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

  /** Trees came, or went if it is less than nothing, that have copies of blobs for files with modes of their own. */
  countCopies(bytes: number): void {
    this.#copiedBytes += bytes;
  }

  /** What all of them take, as last looked at, and copies of blobs with them. */
  use(): { readonly blobs: DiskUse; readonly layers: DiskUse } {
    const [blobs, layers] = [new UseSum(), new UseSum()];
    blobs.add({ bytes: this.#copiedBytes, inodes: 0 });
    for (const content of this.#byDigest.values()) {
      blobs.add(content.blob);
      for (const way of WAYS) layers.add(content.layers[way]);
    }
    return { blobs: blobs.sum, layers: layers.sum };
  }

  /** Looks what came and went since the last time: names are listed, and only what is new is measured. */
  async refresh(): Promise<void> {
    const done = await this.#looking.acquire();
    try {
      await this.#look();
    } finally {
      done();
    }
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
    content.layers = noLayers;
    if (content.trees === 0) this.#byDigest.delete(digest);
  }

  async #look(): Promise<void> {
    const { blobs, layers } = this.#dataDir.layout;
    this.#looks++;
    for (const algorithm of ALGORITHMS) {
      for await (const { name } of await openFolder(join(blobs, algorithm))) {
        // Most of them are known, and need not be parsed for that.
        const known = this.#byDigest.get(`${algorithm}:${name}` as Digest);
        if (known?.blob !== undefined) this.#saw(known);
        else await this.#measureBlob(digestFrom(algorithm, name));
      }
      for await (const { name } of await openFolder(join(layers, algorithm))) {
        const [, hex = "", way] = LAYER_FOLDER.exec(name) ?? [];
        await this.#seeLayer(digestFrom(algorithm, hex), way as UnpackWay);
      }
    }
    for (const content of this.#byDigest.values()) {
      if (content.seen >= this.#looks) continue;
      content.blob = undefined;
      content.layers = noLayers;
      if (content.trees === 0) this.#byDigest.delete(content.digest);
    }
  }

  async #measureBlob(digest: Digest | undefined): Promise<void> {
    if (digest === undefined) return;
    const file = await unlessMissing(fs.lstat(this.#dataDir.layout.blob(digest)));
    if (file === undefined) return;
    const content = this.of(digest);
    content.blob = { bytes: file.blocks * 512, inodes: 1 };
    content.came ??= momentAt(this.#clock, file.mtimeMs);
    this.#saw(content);
  }

  async #seeLayer(digest: Digest | undefined, way: UnpackWay): Promise<void> {
    if (digest === undefined) return;
    const known = this.#byDigest.get(digest);
    if (known?.layers[way] !== undefined) this.#saw(known);
    else await this.#measureLayer(digest, way);
  }

  #saw(content: Content): void {
    content.seen = this.#looks;
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
    content.layers = { ...content.layers, [way]: noted ?? (await folderUse(folder)) };
    content.came ??= momentAt(this.#clock, found.ctimeMs);
    this.#saw(content);
  }
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
