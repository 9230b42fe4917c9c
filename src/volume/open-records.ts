import { basename } from "node:path";
import type { Cache, TreeId } from "../cache/index.ts";
import { type MountEntry, type Mounter, upperDirOf } from "../mount/index.ts";
import { isKubeletTarget } from "./kubelet-target.ts";
import { Records, type VolumeRecord, volumeKeyOf } from "./records.ts";
import { readVolData } from "./vol-data.ts";

const SHOWN_TREE = /\/trees\/([0-9a-f]{64})$/;
const LOWER_TREE = /\/trees\/([0-9a-f]{64}),upperdir=/;

/**
 * Reads the records of published volumes. Those that cannot be read are made anew from what is mounted and from kubelet's
 * own files: without a record nothing would keep the tree that a pod shows.
 */
export async function openRecords(cache: Cache, mounter: Pick<Mounter, "mounts">): Promise<Records> {
  const records = await Records.load(cache);
  const lost = new Set<string>(records.unreadable);
  if (lost.size === 0 || cache.dataDir.isNewer) return records;
  for (const entry of await mounter.mounts()) {
    const record = await recordOf(entry, cache);
    if (record !== undefined && lost.delete(record.key)) await records.put(record);
  }
  return records;
}

/** What is still known of a volume by its mount: all but its attributes. */
async function recordOf(entry: MountEntry, cache: Cache): Promise<VolumeRecord | undefined> {
  const { mountPoint: targetPath, root, superOptions } = entry;
  const upper = upperDirOf(entry);
  const isWritable = upper !== undefined && basename(upper) === "upper";
  const tree = (isWritable ? LOWER_TREE.exec(superOptions) : SHOWN_TREE.exec(root))?.[1] as TreeId | undefined;
  if (tree === undefined || !isKubeletTarget(targetPath)) return undefined;
  const volData = await readVolData(targetPath);
  if (volData === undefined) return undefined;
  const { volumeId } = volData;
  const known = await cache.trees.record(tree);
  return {
    key: volumeKeyOf(volumeId, targetPath),
    volumeId,
    targetPath,
    tree,
    spec: undefined,
    readOnly: !isWritable,
    namespace: "_",
    reference: known?.references.at(-1),
    manifest: known?.manifest,
  };
}
