import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Libc } from "./libc.ts";
import { buildInfo } from "./runtime.ts";

/** Memory that work leaves behind, to be asked for at the end of what took much of it. */
export interface Memory {
  /** Collects all garbage of this thread, which V8 would let lie by the ten megabytes in each. Takes some 20 ms. */
  collect(): void;
  /** Gives back to the system what is free, of all threads. */
  trim(): Promise<void>;
}

/** The memory of the process, as the calling thread sees it. */
export function createMemory(libc: Pick<Libc, "trimMemory">): Memory {
  return { collect: createCollector(), trim: () => libc.trimMemory() };
}

/** `Memory.collect` for a worker. Deno has no such call: nothing is done there. */
export function createCollector(): () => void {
  if (buildInfo().runtime === "deno") return () => undefined;
  // A flag of the process: the function appears in contexts that are made while it is set.
  setFlagsFromString("--expose-gc");
  try {
    const collect = runInNewContext("gc") as (options: object) => void;
    // The flavour that gives pages back, too.
    return () => collect({ type: "major", execution: "sync", flavor: "last-resort" });
  } finally {
    setFlagsFromString("--no-expose-gc");
  }
}
