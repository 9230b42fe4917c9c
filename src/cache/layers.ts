import { promises as fs } from "node:fs";
import { dirname } from "node:path";
import { renameFolder, unlessMissing } from "../base/index.ts";
import type { Digest } from "../oci/index.ts";
import type { DataDir } from "./data-dir.ts";
import type { DiskUse } from "./disk-space.ts";
import type { Layout, UnpackWay } from "./layout.ts";
import type { Sweeper } from "./sweeper.ts";

/** How the cache keeps a layer: as the blob that it is, or unpacked. */
export type LayerForm = "blob" | UnpackWay;

/** An unpacked layer in tmp/, with the index of what is in it. Both are synced already. */
export interface StagedLayer {
  readonly digest: Digest;
  readonly way: UnpackWay;
  readonly folder: string;
  readonly indexFile: string;
  /** What is in it takes so much; counted later where nobody says. */
  readonly use?: DiskUse;
}

/** Whether a tar layer is there, unpacked, with its index. Used on the main and the pull thread. */
export async function hasLayer(layout: Layout, digest: Digest, way: UnpackWay): Promise<boolean> {
  const paths = [layout.layerFolder(digest, way), layout.layerIndex(digest, way)];
  const [folder, index] = await Promise.all(paths.map((path) => unlessMissing(fs.lstat(path))));
  return folder?.isDirectory() === true && index?.isFile() === true;
}

/**
 * Makes a staged layer visible. The index goes last and a layer counts only with both, so a crash in between leaves a
 * folder that the next commit of this layer replaces.
 */
export async function commitLayer(dataDir: DataDir, sweeper: Sweeper, staged: StagedLayer): Promise<void> {
  const { layout, state } = dataDir;
  const folder = layout.layerFolder(staged.digest, staged.way);
  const indexFile = layout.layerIndex(staged.digest, staged.way);
  await sweeper.discard(indexFile);
  await sweeper.discard(folder);
  if (staged.use !== undefined)
    await state.write(layout.layerUse(staged.digest, staged.way), { ...staged.use }, { syncName: false });
  await renameFolder(staged.folder, folder);
  await fs.rename(staged.indexFile, indexFile);
  await dataDir.syncFolder(dirname(folder));
}
