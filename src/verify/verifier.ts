import { randomUUID } from "node:crypto";
import { promises as fs } from "node:fs";
import { join } from "node:path";
import { type Clock, errnoOf, type Logger, startWorker, unlessMissing, WorkerHost } from "../base/index.ts";
import type { Cache, TreeId } from "../cache/index.ts";
import { checkReferences, UNREADABLE } from "./state-check.ts";
import type { Fault, MeasuredKind, VerifyCounts, VerifyEvent, VerifyWorkerCalls } from "./verify-calls.ts";

/** How a verification goes. */
export interface VerifyOptions {
  /** Whether what has wrong bytes is moved aside, so that nobody uses it any more. */
  readonly movesAside: boolean;
  readonly signal: AbortSignal;
  /** Told what was read so far. */
  readonly onProgress?: (counts: VerifyCounts) => void;
}

/** What a verification found. */
export interface VerifyReport {
  readonly counts: VerifyCounts;
  readonly faults: readonly Fault[];
}

/** The thread ends with its work. */
const IDLE_MS = 1000;

/** Reads all of a cache, in a thread of its own, and notes what is wrong. */
export class Verifier {
  readonly #cache: Cache;
  readonly #log: Logger;
  readonly #host: WorkerHost<VerifyWorkerCalls>;

  constructor({ cache, clock, log }: { readonly cache: Cache; readonly clock: Clock; readonly log: Logger }) {
    this.#cache = cache;
    this.#log = log;
    const start = () => startWorker("verify-worker", new URL("./verify-worker.ts", import.meta.url), undefined);
    this.#host = new WorkerHost({ start, idleMs: IDLE_MS, clock });
  }

  /**
   * Verifies blobs, unpacked layers and trees. Trees that show wrong bytes are marked in any case: volumes' health tells,
   * and the next publish has them mended.
   */
  async verify({ movesAside, signal, onProgress }: VerifyOptions): Promise<VerifyReport> {
    const faults: Fault[] = [];
    const { dataDir } = this.#cache.layout;
    const onEvent = (event: VerifyEvent) => {
      if ("fault" in event) faults.push(event.fault);
      else onProgress?.(event.counts);
    };
    faults.push(...(await checkReferences(this.#cache.dataDir)));
    const job = { dataDir, trees: await this.#trees(faults) };
    const counts = await this.#host.call("verify", job, { signal, onEvent });
    for (const fault of faults) await this.#note(fault, movesAside);
    return { counts, faults };
  }

  /** What everything in the data dir takes on disk, by kind, each file once. */
  measure(signal: AbortSignal): Promise<readonly MeasuredKind[]> {
    return this.#host.call("measure", this.#cache.layout.dataDir, { signal });
  }

  /** Ends the thread. */
  async close(): Promise<void> {
    await this.#host.close();
  }

  /** The trees that have a record. One that cannot be read is logged and moved aside by whoever reads it. */
  async #trees(faults: Fault[]) {
    const trees = [];
    for (const id of await this.#cache.trees.ids()) {
      const record = await this.#cache.trees.record(id);
      if (record !== undefined) trees.push({ id, inodes: record.inodes, layers: record.layers });
      else faults.push({ kind: "state", path: `trees/${id}.json`, says: UNREADABLE });
    }
    return trees;
  }

  async #note(fault: Fault, movesAside: boolean): Promise<void> {
    const { trees, leases } = this.#cache;
    if (fault.kind === "state") return;
    if (fault.kind === "tree") {
      using _ = await leases.hold(fault.id);
      this.#log.error("a tree shows wrong files", { tree: fault.id, reason: fault.says });
      await trees.markDamaged(fault.id, fault.says);
      return;
    }
    const moved = movesAside ? await this.#moveAside(fault) : [];
    const what = fault.kind === "blob" ? "a blob is wrong" : "an unpacked layer is wrong";
    this.#log.error(what, { digest: fault.digest, reason: fault.says, moved });
  }

  /**
   * A layer loses its index, too: with a part of it missing it must not count any more. The search may have taken hours:
   * what was fetched anew meanwhile stays.
   */
  async #moveAside(fault: Extract<Fault, { kind: "blob" | "layer" }>): Promise<readonly string[]> {
    const { layout } = this.#cache;
    const place = fault.kind === "blob" ? layout.blob(fault.digest) : layout.layerIndex(fault.digest, fault.way);
    if ((await unlessMissing(fs.lstat(place)))?.ino !== fault.inode) return [];
    if (fault.kind === "blob") return this.#move([place]);
    const { digest, way, files } = fault;
    const folder = Buffer.from(`${layout.layerFolder(digest, way)}/`);
    const paths = files.map((file) => Buffer.concat([folder, Buffer.from(file, "base64")]));
    return this.#move([...paths, place]);
  }

  async #move(paths: readonly (string | Buffer)[]): Promise<readonly string[]> {
    const moved: string[] = [];
    for (const path of paths) {
      const aside = join(this.#cache.layout.tmp, `damaged-${randomUUID()}`);
      try {
        await fs.rename(path, aside);
        moved.push(aside);
      } catch (error) {
        // Another one is there by now, or none; or the path is too long: without its index the layer is of no use.
        if (!["ENOENT", "ENAMETOOLONG"].includes(errnoOf(error) ?? "")) throw error;
      }
    }
    return moved;
  }
}

/** Names a fault for people. */
export function describeFault(fault: Fault): string {
  if (fault.kind === "blob") return `blob ${fault.digest} ${fault.says}`;
  if (fault.kind === "state") return `${fault.path} ${fault.says}`;
  if (fault.kind === "layer") return `the unpacked layer ${fault.digest} ${fault.says}`;
  return `tree ${shortId(fault.id)}: ${fault.says}`;
}

function shortId(id: TreeId): string {
  return id.slice(0, 12);
}
