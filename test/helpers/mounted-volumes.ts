import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Clock, systemClock } from "../../src/base/index.ts";
import type { Tree } from "../../src/cache/index.ts";
import { createBoundedMounter, type Mounter } from "../../src/mount/index.ts";
import { type PublishRequest, Volumes } from "../../src/volume/index.ts";
import { ScriptedArtifacts } from "../fakes/scripted-artifacts.ts";
import { ManualClock } from "../registry-client/manual-clock.ts";
import { type CacheArea, useCache } from "./cache-area.ts";
import { type MountArea, useMountArea } from "./mount-area.ts";
import { makeTree } from "./volume-bench.ts";

/** `Volumes` with a real cache and real mounts in a shared area; only the artifacts are scripted. */
export interface MountedVolumes extends AsyncDisposable {
  readonly area: MountArea;
  readonly cache: CacheArea;
  readonly mounter: Mounter;
  readonly tree: Tree;
  readonly artifacts: ScriptedArtifacts;
  /** Kubelet's root, with one pod's folder in it. */
  readonly kubeletFolder: string;
  /** The target of `request`, of kubelet's form. */
  readonly target: string;
  volumes: Volumes;
  request(changes?: Partial<PublishRequest>): PublishRequest;
  /** The same place as the host sees it: below a peer of the area's mount. */
  onHost(path: string): string;
  /** As after the driver was started anew. */
  restart(): Promise<void>;
  /** The names in the data dir's volumes/. */
  records(): readonly string[];
}

export const DRIVER_NAME = "csi.test";
/** The id of the volume that `request` is about. */
export const VOLUME_ID = "csi-1";
/** Longer than any look takes at a file system that lives, however busy the machine is. */
const LOOK_LIMIT_MS = 60_000;
/** How long tests with mounts that hang wait for them. */
export const HUNG_LIMIT_MS = 1_500;

/** Sets it all up in an area of its own. Short pauses pass at once unless a clock is given. Needs root. */
export async function useMountedVolumes(
  create: (area: MountArea) => Mounter,
  options: { readonly clock?: Clock; readonly lookLimitMs?: number } = {},
): Promise<MountedVolumes> {
  const { clock = new ManualClock({ passBelowMs: 1000 }), lookLimitMs = LOOK_LIMIT_MS } = options;
  const area = await useMountArea({ propagation: "shared" });
  const cache = await useCache({ parent: area.folder("node") });
  const mounter = createBoundedMounter(create(area), { clock: systemClock, limitMs: lookLimitMs });
  const tree = await makeTree(cache.cache);
  const artifacts = new ScriptedArtifacts(tree);
  const platform = { os: "linux", architecture: "amd64", variant: undefined };
  const { log } = cache;
  const open = () =>
    Volumes.open({
      artifacts,
      cache: cache.cache,
      mounter,
      driverName: DRIVER_NAME,
      platform,
      concurrency: 4,
      clock,
      log,
    });
  const kubeletFolder = area.folder("kubelet");
  const target = join(kubeletFolder, "pods/uid-1/volumes/kubernetes.io~csi/artifact/mount");
  mkdirSync(dirname(target), { recursive: true });
  const bench: MountedVolumes = {
    area,
    cache,
    mounter,
    tree,
    artifacts,
    kubeletFolder,
    target,
    volumes: await open(),
    request: (changes = {}) => ({
      fieldProblems: [],
      volumeId: VOLUME_ID,
      targetPath: target,
      readOnly: true,
      mountFlags: [],
      mountGroup: "",
      volumeContext: { "oras.artifact.reference": "ghcr.io/org/thing:v1" },
      secrets: {},
      deadlineMs: clock.monotonicMs() + 120_000,
      timeoutMs: 120_000,
      signal: new AbortController().signal,
      ...changes,
    }),
    onHost: (path) => area.peer + path.slice(area.path.length),
    async restart() {
      bench.volumes = await open();
    },
    records: () => readdirSync(cache.cache.layout.volumes).sort(),
    async [Symbol.asyncDispose]() {
      await cache[Symbol.asyncDispose]();
      await area[Symbol.asyncDispose]();
    },
  };
  return bench;
}

/** Writes kubelet's own file beside a target. */
export function writeVolData(target: string, volumeHandle: string, driverName = DRIVER_NAME): void {
  writeFileSync(join(dirname(target), "vol_data.json"), JSON.stringify({ driverName, volumeHandle }));
}
