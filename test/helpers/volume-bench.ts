import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Cache, Tree, TreeId } from "../../src/cache/index.ts";
import type { Digest } from "../../src/oci/index.ts";
import { type PublishRequest, Volumes } from "../../src/volume/index.ts";
import { FakeMounter } from "../fakes/fake-mounter.ts";
import { ScriptedArtifacts } from "../fakes/scripted-artifacts.ts";
import { ManualClock } from "../registry-client/manual-clock.ts";
import { type CacheArea, useCache } from "./cache-area.ts";

/** `Volumes` with a real cache, scripted artifacts and mounts in memory. */
export interface VolumeBench extends AsyncDisposable {
  readonly area: CacheArea;
  readonly clock: ManualClock;
  readonly mounter: FakeMounter;
  readonly tree: Tree;
  readonly artifacts: ScriptedArtifacts;
  volumes: Volumes;
  /** Where the volume of `request` goes, unless it is told otherwise. */
  readonly target: string;
  request(changes?: Partial<PublishRequest>): PublishRequest;
  /** Volumes on another cache of the same data dir, as after a kill. */
  openOn(cache: Cache, clock: ManualClock): Promise<Volumes>;
  /** As after the driver was started anew: what is in memory only is gone. */
  restart(): Promise<void>;
}

const REFERENCE = "ghcr.io/org/thing:v1";

/** Makes a tree with one file that any volume of the bench may show. */
export async function makeTree(cache: Cache, id = "1".repeat(64)): Promise<Tree> {
  const staged = join(cache.layout.tmp, `staged-${id}`);
  mkdirSync(staged, { mode: 0o755 });
  writeFileSync(join(staged, "file"), "content");
  const manifest = `sha256:${"c".repeat(64)}` as Digest;
  return cache.commitTree(id as TreeId, staged, { manifest, bytes: 7, inodes: 2, layers: [] });
}

/** Sets a bench up in a folder of its own. */
export async function useVolumes(): Promise<VolumeBench> {
  const clock = new ManualClock({ passBelowMs: 1000 });
  const area = await useCache({ clock });
  const mounter = new FakeMounter();
  const tree = await makeTree(area.cache);
  const artifacts = new ScriptedArtifacts(tree);
  const platform = { os: "linux", architecture: "amd64", variant: undefined };
  const { cache, log } = area;
  const others = { artifacts, mounter, driverName: "csi.test", platform, concurrency: 4, log };
  const open = () => Volumes.open({ ...others, cache, clock });
  const target = join(area.folder, "target");
  const bench: VolumeBench = {
    area,
    clock,
    mounter,
    tree,
    artifacts,
    volumes: await open(),
    target,
    request: (changes = {}) => ({
      fieldProblems: [],
      volumeId: "csi-1",
      targetPath: target,
      readOnly: true,
      mountFlags: [],
      mountGroup: "",
      volumeContext: { "oras.artifact.reference": REFERENCE },
      secrets: {},
      deadlineMs: clock.monotonicMs() + 120_000,
      timeoutMs: 120_000,
      signal: new AbortController().signal,
      ...changes,
    }),
    openOn: (otherCache, otherClock) => Volumes.open({ ...others, cache: otherCache, clock: otherClock }),
    async restart() {
      bench.volumes = await open();
    },
    [Symbol.asyncDispose]: () => area[Symbol.asyncDispose](),
  };
  return bench;
}

/** Nothing of any volume is left: no mount, record, upper layer or target. */
export function assertNothingLeft({ mounter, target, area }: VolumeBench): void {
  assert.deepEqual(mounter.targets, []);
  assert.deepEqual(readdirSync(area.cache.layout.volumes), []);
  assert.ok(!existsSync(target), "the target is left");
}

/** Publishes a writable volume, and writes a file `mine` as its pod would; the volume's upper layer. */
export async function publishWritten(bench: VolumeBench): Promise<string> {
  await bench.volumes.publish(bench.request({ readOnly: false }));
  const call = bench.mounter.calls.at(-1);
  assert.ok(call?.kind === "overlay");
  const { upper } = call.options;
  writeFileSync(join(upper, "mine"), "m");
  return upper;
}
