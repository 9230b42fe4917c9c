import { randomBytes } from "node:crypto";
import { linkSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { type Cache, type CacheLimits, defaultCacheLimits, type TreeId } from "../../src/cache/index.ts";
import { type Digest, digestOf } from "../../src/oci/index.ts";
import { useDataDir } from "./data-dir.ts";

export const MIB = 1024 * 1024;
export const DAY_MS = 24 * 60 * 60_000;

/** Puts a blob of that size into the cache. */
export async function putBlob(cache: Cache, sizeBytes: number): Promise<Digest> {
  const bytes = randomBytes(sizeBytes);
  const digest = digestOf(bytes);
  await cache.blobs.put(digest, bytes);
  return digest;
}

/** Makes a tree of file layers, with a manifest of its own. */
export async function makeTree(cache: Cache, name: string, layers: readonly Digest[]): Promise<TreeId> {
  const id = digestOf(Buffer.from(name)).slice("sha256:".length) as TreeId;
  const manifest = await putBlob(cache, 500);
  await cache.withStaging(async (staging) => {
    const folder = join(staging, "tree");
    mkdirSync(folder);
    for (const layer of new Set(layers)) linkSync(cache.layout.blob(layer), join(folder, layer));
    await cache.commitTree(id, folder, { manifest, bytes: 1, inodes: 1 + layers.length, layers });
  });
  return id;
}

/** The same of one layer, of that size. */
export async function makeLargeTree(cache: Cache, name: string, sizeBytes = MIB): Promise<TreeId> {
  return makeTree(cache, name, [await putBlob(cache, sizeBytes)]);
}

/** What lies in the data dir by name. */
export async function stored(cache: Cache) {
  await cache.sweeper.idle();
  const { layout } = cache;
  const names = (folder: string) => readdirSync(folder);
  return {
    trees: names(layout.trees).filter((name) => !name.includes(".")),
    records: names(layout.trees).filter((name) => name.endsWith(".json")),
    blobs: names(join(layout.blobs, "sha256")).length,
    tmp: names(layout.tmp),
  };
}

/** The limits a test wants. */
export function limitsWith(changes: Partial<CacheLimits>): CacheLimits {
  // A machine whose own disk is nearly full has to pass these tests, too.
  return { ...defaultCacheLimits, highPercent: 99, lowPercent: 98, ...changes };
}

/** A cache with those limits, in a data dir of its own or at a path. */
export async function openLimited(t: TestContext, changes: Partial<CacheLimits> = {}, path?: string) {
  const area = useDataDir(t, path === undefined ? {} : { path });
  const cache = await area.open({ limits: limitsWith(changes) });
  return { area, cache };
}
