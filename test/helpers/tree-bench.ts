import { lstatSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type LayerSource, TreeLinker } from "../../src/artifact/tree-linker.ts";
import { UnpackBudget, writeLayerIndex } from "../../src/unpack/index.ts";
import { type TarFields, tarOf } from "../fixtures/tar-builder.ts";
import { createUnpackArea, type FoundEntry, unpackBytes } from "../fixtures/unpacking.ts";

/** Entries of tars. */
export const folder = (name: string, mode = 0o755, mtime = 1_000): TarFields => ({ name, type: "5", mode, mtime });
export const file = (name: string, data = name): TarFields => ({ name, data });
export const symlink = (name: string, linkName: string): TarFields => ({ name, type: "2", linkName });
export const hardLink = (name: string, linkName: string): TarFields => ({ name, type: "1", linkName });

/** A layer of a tree under test: a file with this content, or the entries of a folder's tar. */
export type Layer =
  | { readonly title: string; readonly content: string }
  | { readonly title: string; readonly tar: readonly TarFields[] };

/** A place for one tree and the layers that it is made of. */
export function useTree(limits = { maxBytes: 2 ** 30, maxEntries: 1_000_000 }) {
  const area = createUnpackArea();
  const root = join(area.folder, "tree");
  const linker = new TreeLinker(root, new UnpackBudget(limits, "all layers"));
  let made = 0;
  const add = async (layer: Layer) => {
    if ("tar" in layer) return addTar(layer.title, tarOf(...layer.tar));
    const source = join(area.folder, `layer-${++made}`);
    writeFileSync(source, layer.content, { mode: 0o644 });
    linker.addFile(layer.title, source, layer.content.length);
    return source;
  };
  const addTar = async (title: string, tar: Buffer, more: Pick<LayerSource, "movesBelow" | "isSpent"> = {}) => {
    const source = join(area.folder, `layer-${++made}`);
    const index = `${source}.index`;
    mkdirSync(source);
    writeLayerIndex((await unpackBytes(tar, source)).index, index);
    linker.addLayer({ index, folder: source, title, ...more });
    return source;
  };
  return { area, root, linker, add, addTar, [Symbol.dispose]: () => area[Symbol.dispose]() };
}

/** What a file is on disk. */
export const inode = (path: string) => lstatSync(path).ino;
export const modeOf = (path: string) => lstatSync(path).mode & 0o7777;
export const secondsOf = (path: string) => Math.floor(lstatSync(path).mtimeMs / 1000);
export const paths = (found: readonly FoundEntry[]) => found.map(({ path, type }) => `${type} ${path}`);
