import { parentPort } from "node:worker_threads";
import { serveCalls } from "../base/index.ts";
import { MeasureRun } from "./measure-run.ts";
import type { VerifyWorkerCalls } from "./verify-calls.ts";
import { VerifyRun } from "./verify-run.ts";

/** The entry of the verify worker: reads all of the cache. */
function serveVerifying(port: NonNullable<typeof parentPort>): void {
  serveCalls<VerifyWorkerCalls>(port, {
    verify: (job, context) => new VerifyRun(job, context).run(),
    measure: (dataDir, { signal }) => new MeasureRun(dataDir, signal).run(),
  });
}

if (parentPort !== null) serveVerifying(parentPort);
