import { parentPort, workerData } from "node:worker_threads";
import { servePulls } from "./pull-service.ts";
import type { PullWorkerLimits } from "./worker-calls.ts";

/** The entry of the pull worker. */
if (parentPort !== null) servePulls(parentPort, (workerData ?? {}) as PullWorkerLimits);
