import type { Clock, Logger, Memory } from "../base/index.ts";
import type { Cache, Tree } from "../cache/index.ts";
import type { RunningPull } from "./pull.ts";
import type { PullWorker } from "./pull-worker-host.ts";
import { type ResolveRequest, Resolver } from "./resolver.ts";
import { everything } from "./selection.ts";
import { TreeMaker } from "./tree-maker.ts";

/** What a pull for one caller needs from outside. */
export interface SinglePullOptions {
  readonly cache: Cache;
  readonly worker: PullWorker;
  /** Whether bytes in the cache count only for the repositories that gave them. */
  readonly enforceNamespaces: boolean;
  readonly maxUnpackRatio: number;
  readonly memory: Memory;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What one caller wants, all of it. */
export interface SinglePull extends Pick<RunningPull, "signal" | "onEvent"> {
  readonly resolving: ResolveRequest;
  /** Blobs at once. */
  readonly concurrency: number;
}

/**
 * Makes a reference present as a tree for one caller that waits until it is done: no volume wants it, and nobody else
 * pulls into the cache. Rejects as pulls do, or with the signal's reason.
 */
export async function pullTree(options: SinglePullOptions, pull: SinglePull): Promise<Tree> {
  const { cache, worker, enforceNamespaces, memory } = options;
  const { resolving, concurrency, signal } = pull;
  const { hosts, credentials } = resolving;
  const resolver = new Resolver({ cache, source: worker, enforceNamespaces, memory });
  const trees = new TreeMaker({ ...options, onMended: () => undefined });
  const resolved = await resolver.resolve(resolving);
  signal.throwIfAborted();
  const wanted = { resolving, resolved, selection: everything, concurrency };
  const found = await trees.find(wanted);
  if (found !== undefined) return found;
  const work = await trees.plan(wanted);
  return work({
    signal,
    onEvent: pull.onEvent,
    isForOneCaller: true,
    // After a refusal there is nothing else to offer, and there is never anybody to make way for.
    offer: async (refused) => (refused === undefined ? { id: 1, hosts, credentials } : undefined),
    leavePlace: () => undefined,
    takePlace: async () => undefined,
  });
}
