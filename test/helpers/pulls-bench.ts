import type { PullWork } from "../../src/artifact/pull.ts";
import { Pulls } from "../../src/artifact/pulls.ts";
import type { PullProgress } from "../../src/artifact/worker-calls.ts";
import { createLogger, type DriverError } from "../../src/base/index.ts";
import type { Tree, TreeId } from "../../src/cache/index.ts";
import { digestOf } from "../../src/oci/index.ts";
import { ManualClock } from "../registry-client/manual-clock.ts";

/** What the pulls under test make. */
export const TREE: Tree = {
  id: "t" as TreeId,
  folder: "/t",
  manifest: digestOf(Buffer.from("m")),
  bytes: 1,
  inodes: 2,
  damage: undefined,
  references: [],
};
export const MINUTE_MS = 60_000;

/** Work that a test ends: it rejects by itself when it is cancelled, unless it is told to linger. */
export function createWork({ lingers = false } = {}) {
  const gate = Promise.withResolvers<Tree>();
  const began = Promise.withResolvers<Parameters<PullWork>[0]>();
  let runs = 0;
  const work: PullWork = (pull) => {
    runs++;
    began.resolve(pull);
    if (!lingers) pull.signal.addEventListener("abort", () => gate.reject(pull.signal.reason), { once: true });
    return gate.promise;
  };
  return { work, began: began.promise, succeed: () => gate.resolve(TREE), fail: gate.reject, runs: () => runs };
}

/** Pulls whose clock is the test's. */
export function usePulls({ maxPulls = 4 } = {}) {
  const clock = new ManualClock();
  const lines: string[] = [];
  const log = createLogger({ level: "info", format: "json", write: (line) => lines.push(line) });
  const pulls = new Pulls({ maxPulls, clock, log });
  const join = (volume: string, work: PullWork, key = "tree", offer = offerOf("anonymous")) =>
    pulls.join({ volume, key, reference: "a.io/x:v1", registry: key.split("/")[0] ?? "", offer, work });
  const patience = (timeoutMs = 100_000, signal = new AbortController().signal) => {
    return { deadlineMs: clock.monotonicMs() + timeoutMs, timeoutMs, signal };
  };
  const call = (volume: string, work: PullWork, key?: string) =>
    pulls.wait(join(volume, work, key), volume, patience());
  return { clock, lines, pulls, join, call, patience };
}

/** What a volume offers; `told` hears of its refusal. */
export function offerOf(source: string, told: string[] = []) {
  const credentials = [{ kind: "password", username: source, password: "p", source, owner: "pod" }] as const;
  return { credentials, refused: async ({ message }: DriverError) => void told.push(`${source}: ${message}`) };
}

/** A report of a pull of 200 bytes. */
export const fetching = (doneBytes: number): PullProgress => {
  return {
    phase: "fetching",
    doneBytes,
    totalBytes: 200,
    fetchedBytes: doneBytes,
    mirrorBytes: 0,
    resumedBytes: 0,
    retries: 0,
  };
};

/** Lets everything run that can. */
export const turn = () => new Promise((resolve) => setImmediate(resolve));
