import { freeBuffers, type Memory } from "../base/index.ts";

// Large pieces of work leave garbage by the ten megabytes in each thread, which V8 would let lie: from these sizes on a
// garbage collection, of some 20 ms, is worth its time.

/** Bytes of a manifest. */
export const LARGE_MANIFEST_BYTES = 512 * 1024;

/** Layers of a pull. */
export const MANY_LAYERS = 1000;

/**
 * A manifest was read, and is not needed as bytes any more. A buffer of that size is nobody else's. Few bytes can be many
 * values, so that what small ones took is looked at, too.
 */
export async function releaseManifest(bytes: Uint8Array, memory: Memory): Promise<void> {
  if (bytes.length < LARGE_MANIFEST_BYTES) return memory.collectIfGrown();
  freeBuffers([bytes]);
  memory.collect();
  await memory.trim();
}
