import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Libc } from "./libc.ts";
import { buildInfo } from "./runtime.ts";

/** So much more than after the last collection is worth one. */
const GROWTH_BYTES = 6 * 1024 * 1024;

/** Garbage of the calling thread. V8 would let it lie by the ten megabytes in each thread: until its own limit is reached. */
export interface Collector {
  /** Collects all of it, and gives its pages back. Takes some 20 ms. */
  collect(): void;
  /** Does so if the thread's heap, or its buffers, have grown since the last time. Asking costs a microsecond. */
  collectIfGrown(): void;
}

/** Memory that work leaves behind, to be asked for at the end of what took much of it. */
export interface Memory extends Collector {
  /** Gives back to the system what is free, of all threads. */
  trim(): Promise<void>;
}

/** The memory of the process, as the calling thread sees it. */
export function createMemory(libc: Pick<Libc, "trimMemory">): Memory {
  return { ...createCollector(), trim: () => libc.trimMemory() };
}

/** `Collector` for a worker. Deno has no such call: nothing is done there. */
export function createCollector(): Collector {
  const collectAll = findCollection();
  let leastBytes = takenBytes();
  const collect = () => {
    collectAll();
    leastBytes = takenBytes();
  };
  const collectIfGrown = () => {
    const bytes = takenBytes();
    leastBytes = Math.min(leastBytes, bytes);
    if (bytes - leastBytes > GROWTH_BYTES) collect();
  };
  return { collect, collectIfGrown };
}

/** What the heap has of the system, garbage included, and the buffers that its objects stand for. */
function takenBytes(): number {
  const { total_heap_size: heapBytes, external_memory: bufferBytes } = getHeapStatistics();
  return heapBytes + bufferBytes;
}

function findCollection(): () => void {
  if (buildInfo().runtime === "deno") return () => undefined;
  let collect: ((options: object) => void) | undefined;
  // The flag is the process's: another thread that does the same may have taken it back meanwhile.
  while (collect === undefined) collect = collectOfNewContext();
  const found = collect;
  // The flavour that gives pages back, too.
  return () => found({ type: "major", execution: "sync", flavor: "last-resort" });
}

/** V8's own function, which appears in contexts that are made while a flag is set. */
function collectOfNewContext(): ((options: object) => void) | undefined {
  setFlagsFromString("--expose-gc");
  try {
    return runInNewContext("globalThis.gc");
  } finally {
    setFlagsFromString("--no-expose-gc");
  }
}
