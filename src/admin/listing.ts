import type { Cache, StoredTree } from "../cache/index.ts";
import type { VolumeRecord } from "../volume/index.ts";
import type { ListedTree, ListedVolume } from "./admin.ts";

/** How many records are read at once. */
const BATCH = 16;

/** All trees, the last used first. */
export async function listTrees(cache: Cache, volumes: readonly VolumeRecord[]): Promise<readonly ListedTree[]> {
  await cache.inventory.load();
  const volumesOf = new Map<string, number>();
  for (const { tree } of volumes) if (tree !== undefined) volumesOf.set(tree, (volumesOf.get(tree) ?? 0) + 1);
  const stored = cache.inventory.byLastUse().toReversed();
  const listed: ListedTree[] = [];
  for (let at = 0; at < stored.length; at += BATCH) {
    const batch = stored.slice(at, at + BATCH);
    listed.push(...(await Promise.all(batch.map((tree) => listTree(cache, tree, volumesOf.get(tree.id) ?? 0)))));
  }
  return listed;
}

/** Published volumes, by namespace, pod and reference. */
export function listVolumes(volumes: readonly VolumeRecord[]): readonly ListedVolume[] {
  const listed = volumes.map((record) => ({
    volumeId: record.volumeId,
    namespace: record.namespace,
    pod: record.pod ?? null,
    reference: record.reference ?? null,
    manifest: record.manifest ?? null,
    tree: record.tree ?? null,
    readOnly: record.readOnly,
    targetPath: record.targetPath,
  }));
  const keyOf = ({ namespace, pod, reference, targetPath }: ListedVolume) =>
    JSON.stringify([namespace, pod, reference, targetPath]);
  return listed.sort((one, other) => (keyOf(one) < keyOf(other) ? -1 : 1));
}

async function listTree(
  { trees, inventory, leases, pins }: Cache,
  { id, manifest, bytes, inodes }: StoredTree,
  volumes: number,
): Promise<ListedTree> {
  const record = await trees.record(id);
  const found = await trees.find(id);
  return {
    id,
    manifest,
    references: record?.references ?? [],
    sizeBytes: bytes,
    inodes,
    createdAt: record?.createdAt === undefined ? null : isoTime(record.createdAt),
    lastUsedAt: isoTime(inventory.lastUseMs(id)),
    volumes,
    leases: leases.count(id),
    pinned: pins.isPinned(id),
    damage: found === undefined ? "its folder or its record is gone" : (found.damage ?? null),
  };
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}
