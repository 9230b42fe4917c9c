import { parentPort } from "node:worker_threads";
import { type Collector, createCollector, serveCalls, systemClock, workerLost } from "../base/index.ts";
import { layerDiskUse, UnpackBudget, unpackLayer, writeLayerIndex } from "../unpack/index.ts";
import { GrowingFileReader } from "./growing-file.ts";
import { ALL_TAR_LAYERS } from "./unpack-limits.ts";
import { type TurnTaker, UnpackTurns } from "./unpack-turns.ts";
import type { UnpackJob, UnpackWorkerCalls } from "./worker-calls.ts";

/** The entry of the unpack worker: tar layers become folders, while the pull worker fetches them. */
function serveUnpacking(port: NonNullable<typeof parentPort>): void {
  const shared = new Map<string, UnpackBudget>();
  const tools = { collector: createCollector(), turns: new UnpackTurns() };
  serveCalls<UnpackWorkerCalls>(port, {
    hold: ({ pull, limits }, { signal }) => {
      shared.set(pull, new UnpackBudget(limits, ALL_TAR_LAYERS));
      return new Promise<never>((_, reject) => {
        const release = () => {
          shared.delete(pull);
          reject(signal.reason);
        };
        if (signal.aborted) release();
        else signal.addEventListener("abort", release, { once: true });
      });
    },
    unpack: (job) => {
      const budget = shared.get(job.pull);
      // This is not the thread that the pull began with.
      if (budget === undefined) throw workerLost("what it had unpacked of this pull is not counted any more");
      return unpack(job, budget, tools);
    },
  });
}

/** What all layers on the thread share. */
interface UnpackTools {
  readonly collector: Collector;
  readonly turns: UnpackTurns;
}

async function unpack(job: UnpackJob, shared: UnpackBudget, { collector, turns }: UnpackTools) {
  const { collectIfGrown } = collector;
  const source = new GrowingFileReader(job.file, job.growth);
  const own = new UnpackBudget(job.limits, job.what);
  const taker: TurnTaker = { pull: job.pull, isAbandoned: () => source.isAbandoned };
  turns.begin(taker);
  try {
    const { uncompressedDigest, isDurable, folder: root, way } = job;
    const throwIfUnwanted = () => {
      source.throwIfAbandoned();
      collectIfGrown();
    };
    const during = { takeTurn: () => turns.take(taker), throwIfUnwanted };
    const budgets = [own, shared];
    const layer = { source, root, way, budgets, uncompressedDigest, hashesFiles: isDurable, ...during };
    const { index, skipped } = await unpackLayer(layer);
    writeLayerIndex(index, job.indexFile);
    index.free();
    return { skippedEntries: skipped, use: isDurable ? layerDiskUse(job.indexFile) : undefined };
  } catch (error) {
    // It may be unpacked once more: because its bytes were wrong, or because it had to give way.
    shared.giveBack(own);
    throw error;
  } finally {
    turns.end(taker);
    source.close();
    // What it left is nothing that its caller waits for.
    systemClock.after(0, collectIfGrown);
  }
}

if (parentPort !== null) serveUnpacking(parentPort);
