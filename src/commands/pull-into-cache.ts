import { arch } from "node:os";
import type { AdminCalls, PulledTree } from "../admin/index.ts";
import { exportTree } from "../artifact/index.ts";
import { createLayout } from "../cache/index.ts";
import { formatReference, platformOfMachine } from "../oci/index.ts";
import type { Credential } from "../registry/index.ts";
import { AdminClient } from "./admin-client.ts";
import type { ClientAccess } from "./client-access.ts";
import { reachDataDir } from "./data-dir-holder.ts";
import { type EnginePull, PullEngine } from "./pull-engine.ts";

/** Whose cache is filled, and what for. */
export interface CachePull {
  /** Absolute. */
  readonly dataDir: string;
  /** Whose pods may then have the artifact from the cache; undefined: nobody's permission is noted. */
  readonly namespace: string | undefined;
  /** An existing folder that the files are copied into. */
  readonly output: string | undefined;
  /** Warnings and errors. */
  readonly writeLog: (line: string) => void;
}

/**
 * Pulls into a driver's cache: through the driver if it runs, else alone, with the data dir's lock. Rejects as
 * `reachDataDir` and the driver's pulls do.
 */
export async function pullIntoCache(target: CachePull, pull: EnginePull): Promise<Omit<PulledTree, "id">> {
  const { dataDir, namespace, output, writeLog } = target;
  const { signal, access, onFailedTry } = pull;
  const holder = await reachDataDir({ dataDir, signal });
  if (holder instanceof AdminClient) return await pullByDriver(holder, target, pull);
  await using engine = await PullEngine.open({
    dataDir,
    isScratch: false,
    writeLog,
    signal,
    access,
    onFailedTry,
    lock: holder,
  });
  const tree = await engine.pull(pull);
  await engine.cache.trees.addReference(tree.id, formatReference(access.reference));
  if (namespace !== undefined) await engine.cache.references.allow(access.repository, namespace);
  if (output !== undefined) exportTree({ tree: tree.folder, target: output, how: "copy" });
  return tree;
}

async function pullByDriver(
  driver: AdminClient,
  { dataDir, namespace, output, writeLog }: CachePull,
  { access, platform, concurrency, signal, onProgress, onFailedTry }: EnginePull,
): Promise<PulledTree> {
  const { reference, repository, caCertificates } = access;
  const argument = {
    reference,
    transport: repository.transport,
    platform: platform ?? platformOfMachine("linux", arch()),
    concurrency,
    credentials: await knownCredentials(access, writeLog),
    caCertificates,
    namespace: namespace ?? null,
  };
  const onEvent = (event: AdminCalls["pull"]["progress"]) =>
    "failedTry" in event ? onFailedTry(event.failedTry) : onProgress(event);
  const whileHeld = async ({ id }: PulledTree) => {
    // In a container the driver may see its data dir elsewhere.
    const tree = createLayout(dataDir).treeFolder(id);
    if (output !== undefined) exportTree({ tree, target: output, how: "copy" });
  };
  return await driver.call("pull", argument, { signal, onProgress: onEvent, whileHeld });
}

/** All credentials as they are: the driver cannot ask the caller's credential helpers once their turn comes. */
async function knownCredentials({ credentials, unveil }: ClientAccess, writeLog: CachePull["writeLog"]) {
  const known: Credential[] = [];
  for (const offer of credentials) {
    if (offer.kind !== "deferred") known.push(offer);
    else {
      const { credentials: fetched, problem } = await unveil(offer, false);
      known.push(...fetched);
      if (problem !== undefined) writeLog(`oras-csi: ${offer.source}: ${problem}\n`);
    }
  }
  return known;
}
