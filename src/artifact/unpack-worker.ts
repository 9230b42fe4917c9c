import { parentPort } from "node:worker_threads";
import { type CallContext, serveCalls } from "../base/index.ts";
import { MAX_ENTRIES, UnpackBudget, unpackLayer, writeLayerIndex } from "../unpack/index.ts";
import { GrowingFileReader } from "./growing-file.ts";
import type { UnpackJob, UnpackWorkerCalls } from "./worker-calls.ts";

/** The entry of the unpack worker: tar layers become folders, while the pull worker fetches them. */
function serveUnpacking(port: NonNullable<typeof parentPort>): void {
  const shared = new Map<string, UnpackBudget>();
  serveCalls<UnpackWorkerCalls>(port, {
    hold: ({ pull, maxBytes }, { signal }) => {
      shared.set(pull, new UnpackBudget({ maxBytes, maxEntries: MAX_ENTRIES }, "all tar layers together"));
      return new Promise<never>((_, reject) => {
        const release = () => {
          shared.delete(pull);
          reject(signal.reason);
        };
        if (signal.aborted) release();
        else signal.addEventListener("abort", release, { once: true });
      });
    },
    unpack: (job, context) => {
      const budget = shared.get(job.pull);
      if (budget === undefined) throw new Error(`pull ${job.pull} has no budget`);
      return unpack(job, budget, context);
    },
  });
}

async function unpack(job: UnpackJob, shared: UnpackBudget, { signal }: CallContext<UnpackWorkerCalls["unpack"]>) {
  const source = new GrowingFileReader(job.file, job.growth);
  try {
    const own = new UnpackBudget({ maxBytes: job.maxBytes, maxEntries: MAX_ENTRIES }, job.what);
    const { index, skipped } = await unpackLayer({
      source,
      root: job.folder,
      way: "artifact",
      budgets: [own, shared],
      uncompressedDigest: job.uncompressedDigest,
      signal,
    });
    writeLayerIndex(index, job.indexFile);
    return { skippedEntries: skipped };
  } finally {
    source.close();
  }
}

if (parentPort !== null) serveUnpacking(parentPort);
