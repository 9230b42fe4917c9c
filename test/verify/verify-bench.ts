import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { layersOfTree } from "../../src/artifact/index.ts";
import { createMemory, systemClock } from "../../src/base/index.ts";
import type { Tree, TreeId } from "../../src/cache/index.ts";
import { type DiskKind, describeFault, type MeasuredKind, Verifier } from "../../src/verify/index.ts";
import { createArtifacts, requestFor } from "../helpers/artifacts-bench.ts";
import { useCache } from "../helpers/cache-area.ts";
import { type BuiltManifest, EmbeddedRegistry, push } from "../registry/index.ts";

/** A cache, a registry, and all that pulls, verifies and mends, with real threads; the cache below `parent`, if one is named. */
export async function useVerifier(options: { readonly parent?: string } = {}) {
  const area = await useCache(options);
  const registry = await EmbeddedRegistry.start();
  const { cache, log } = area;
  const artifacts = createArtifacts(area, systemClock);
  const memory = createMemory({ trimMemory: () => Promise.resolve() });
  const partsOf = (id: TreeId) => layersOfTree({ cache, memory }, id);
  const verifier = new Verifier({ cache, partsOf, clock: systemClock, log });
  const signal = new AbortController().signal;
  return {
    ...area,
    registry,
    artifacts,
    /** Pushes an artifact as a tag of `team/thing`. */
    push: (manifest: BuiltManifest, tag: string) => push(registry, "team/thing", manifest, tag),
    /** What a publish of the tag gets. */
    present: (tag: string, policy: "Always" | "IfNotPresent" | "Never" = "IfNotPresent"): Promise<Tree> =>
      artifacts.present(requestFor(registry, { volume: tag, tag, policy }), {
        deadlineMs: systemClock.monotonicMs() + 60_000,
        timeoutMs: 60_000,
        signal,
      }),
    /** Verifies everything; what was found, in words. */
    async verify(movesAside = false): Promise<readonly string[]> {
      const { faults } = await verifier.verify({ movesAside, signal });
      return [...faults, ...(await verifier.standingDamage(faults))].map(describeFault);
    },
    /** What one kind takes on disk. */
    async measure(wanted: DiskKind): Promise<MeasuredKind> {
      const found = (await verifier.measure(signal)).find(({ kind }) => kind === wanted);
      assert.ok(found !== undefined);
      return found;
    },
    counts: async () => (await verifier.verify({ movesAside: false, signal })).counts,
    async [Symbol.asyncDispose]() {
      await artifacts.close();
      await verifier.close();
      await registry.close();
      await area[Symbol.asyncDispose]();
    },
  };
}

/** Flips one bit of a file's first byte, as a disk does: no time changes. */
export function flipByte(path: string): void {
  const { atime, mtime } = statSync(path);
  const bytes = readFileSync(path);
  bytes[0] = (bytes[0] ?? 0) ^ 1;
  writeFileSync(path, bytes, { flag: "r+" });
  utimesSync(path, atime, mtime);
}

/** The names of what was moved aside. */
export function movedAside(dataDir: string): readonly string[] {
  return readdirSync(join(dataDir, "tmp")).filter((name) => name.startsWith("damaged-"));
}
