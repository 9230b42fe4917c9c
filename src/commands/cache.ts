import type { AdminCalls } from "../admin/index.ts";
import { formatBytes } from "../artifact/index.ts";
import { systemClock } from "../base/index.ts";
import {
  type CacheValues,
  cacheListOptions,
  cacheOptions,
  cachePruneOptions,
  cacheVerifyOptions,
  type OptionTable,
  parseCacheCommand,
} from "../config/index.ts";
import { withCacheAdmin } from "./cache-access.ts";
import { diskText, outcomesText, pruneText, treesText, verifyText, volumesText } from "./cache-report.ts";
import type { CommandContext } from "./context.ts";

/** What a command on a cache found or did. */
interface Outcome {
  /** For programs. */
  readonly value: unknown;
  /** For people. */
  readonly text: string;
  /** Whether something is wrong, or was not done. */
  readonly isBad?: boolean;
}

/** Asks whoever holds the cache. */
type Ask = <Name extends keyof AdminCalls>(
  name: Name,
  argument: AdminCalls[Name]["argument"],
  onProgress?: (progress: AdminCalls[Name]["progress"]) => void,
) => Promise<AdminCalls[Name]["result"]>;

/** A verification may take hours: so often it says that it goes on. */
const PROGRESS_MS = 10_000;

/** `oras-csi cache ls`. */
export function runCacheList(context: CommandContext): Promise<number> {
  return runOn(context, cacheListOptions, async (ask, { volumes: wantsVolumes }) => {
    if (wantsVolumes) {
      const volumes = await ask("volumes", {});
      return { value: volumes, text: volumesText(volumes) };
    }
    const trees = await ask("list", {});
    return { value: trees, text: treesText(trees, systemClock.now()) };
  });
}

/** `oras-csi cache du`. */
export function runCacheDiskUse(context: CommandContext): Promise<number> {
  return runOn(context, cacheOptions, async (ask) => {
    const report = await ask("measure", {});
    return { value: report, text: diskText(report) };
  });
}

/** `oras-csi cache prune`. */
export function runCachePrune(context: CommandContext): Promise<number> {
  return runOn(context, cachePruneOptions, async (ask, { all, olderThan }) => {
    const report = await ask("prune", { all, unusedMs: olderThan ?? null });
    return { value: report, text: pruneText(report) };
  });
}

/** `oras-csi cache verify`: exit code 1 if anything was found to be wrong, also if it was mended at once. */
export function runCacheVerify(context: CommandContext): Promise<number> {
  return runOn(context, cacheVerifyOptions, async (ask, { repair }) => {
    const outcome = await ask("verify", { repair }, progressTeller(context));
    return { value: outcome, text: verifyText(outcome), isBad: outcome.faults.length > 0 };
  });
}

/** `oras-csi cache rm`: exit code 1 if a tree was kept. */
export function runCacheRemove(context: CommandContext): Promise<number> {
  return runOnTrees(context, "remove");
}

/** `oras-csi cache pin`. */
export function runCachePin(context: CommandContext): Promise<number> {
  return runOnTrees(context, "pin");
}

/** `oras-csi cache unpin`. */
export function runCacheUnpin(context: CommandContext): Promise<number> {
  return runOnTrees(context, "unpin");
}

function runOnTrees(context: CommandContext, name: "remove" | "pin" | "unpin"): Promise<number> {
  const work = async (ask: Ask, _: CacheValues, trees: readonly string[]) => {
    const outcomes = await ask(name, { trees });
    const isKept = outcomes.some(({ outcome }) => name === "remove" && (outcome === "leased" || outcome === "pinned"));
    return { value: outcomes, text: outcomesText(outcomes, name), isBad: isKept };
  };
  return runOn(context, cacheOptions, work, "trees");
}

/** Reads the command line, has the work done, and prints what came of it. */
async function runOn<Values extends CacheValues>(
  context: CommandContext,
  table: OptionTable<Values>,
  work: (ask: Ask, values: Values, words: readonly string[]) => Promise<Outcome>,
  takes: "trees" | "no trees" = "no trees",
): Promise<number> {
  const { values, words } = parseCacheCommand(table, context, takes);
  const { dataDir, json } = values;
  const signal = context.stopSignal();
  const { value, text, isBad } = await withCacheAdmin({ dataDir, signal, context }, (admin) =>
    work((name, argument, onProgress) => admin.call(name, argument, { signal, onProgress }), values, words),
  );
  context.writeOutput(json ? `${JSON.stringify(value, undefined, 2)}\n` : text);
  return isBad === true ? 1 : 0;
}

/** Says now and then on standard error how much was read. */
function progressTeller({ writeError }: CommandContext): (counts: AdminCalls["verify"]["progress"]) => void {
  let toldMs = systemClock.monotonicMs();
  return ({ bytes }) => {
    const nowMs = systemClock.monotonicMs();
    if (nowMs - toldMs < PROGRESS_MS) return;
    toldMs = nowMs;
    writeError(`read ${formatBytes(bytes)} so far\n`);
  };
}
