import { promises as fs } from "node:fs";
import { type Clock, errnoOf, type Logger, startWorker, unlessMissing, WorkerHost } from "../base/index.ts";
import type { Cache, TreeId, TreeRecord } from "../cache/index.ts";
import { describeMark, findStandingDamage } from "./standing-damage.ts";
import { checkReferences, UNREADABLE } from "./state-check.ts";
import type { Fault, MeasuredKind, TreePart, VerifyCounts, VerifyEvent, VerifyWorkerCalls } from "./verify-calls.ts";

/** How a verification goes. */
export interface VerifyOptions {
  /**
   * Whether what has wrong bytes is moved aside, so that nobody uses it any more, and what is wrong beside bytes in blobs and
   * layers is set right.
   */
  readonly movesAside: boolean;
  readonly signal: AbortSignal;
  /** Told what was read so far. */
  readonly onProgress?: (counts: VerifyCounts) => void;
}

/** What verifying needs from outside. */
export interface VerifierOptions {
  readonly cache: Cache;
  /** What a tree is made of, in its order, if the cache has what says it. */
  readonly partsOf: (id: TreeId) => Promise<readonly TreePart[] | undefined>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What a verification found. */
export interface VerifyReport {
  readonly counts: VerifyCounts;
  readonly faults: readonly Fault[];
}

/** What is kept of a tree's record while all is read, which may take hours. */
type KnownTree = Pick<TreeRecord, "id" | "manifest" | "inodes" | "layers" | "damage" | "createdAt" | "damagedAt">;
type KnownTrees = ReadonlyMap<TreeId, KnownTree>;

/** The thread ends with its work. */
const IDLE_MS = 1000;

/** Reads all of a cache, in a thread of its own, and notes what is wrong. */
export class Verifier {
  readonly #cache: Cache;
  readonly #partsOf: VerifierOptions["partsOf"];
  readonly #log: Logger;
  readonly #host: WorkerHost<VerifyWorkerCalls>;

  constructor({ cache, partsOf, clock, log }: VerifierOptions) {
    this.#cache = cache;
    this.#partsOf = partsOf;
    this.#log = log;
    const start = () => startWorker("verify-worker", new URL("./verify-worker.ts", import.meta.url), undefined);
    this.#host = new WorkerHost({ start, idleMs: IDLE_MS, clock });
  }

  /**
   * Verifies blobs, unpacked layers and trees. Trees that show wrong bytes are marked in any case: volumes' health tells,
   * and the next publish has them mended. A mark goes where nothing is wrong any more.
   */
  async verify({ movesAside, signal, onProgress }: VerifyOptions): Promise<VerifyReport> {
    const [found, healed]: [Fault[], TreeId[]] = [[], []];
    const { dataDir } = this.#cache.layout;
    const onEvent = (event: VerifyEvent) => {
      if ("fault" in event) found.push(event.fault);
      else if ("healed" in event) healed.push(event.healed);
      else onProgress?.(event.counts);
    };
    found.push(...(await checkReferences(this.#cache.dataDir)));
    const records = await this.#records(found);
    const trees = [...records.values()].map(({ id, manifest, inodes, layers, damage }) => {
      return { id, manifest, inodes, layers, isMarked: damage !== undefined };
    });
    const job = { dataDir, trees, repairs: movesAside };
    const counts = await this.#host.call("verify", job, { signal, onEvent, onAsk: this.#partsOf });
    const faults: Fault[] = [];
    for (const fault of found) faults.push(...(await this.#note(fault, records, movesAside)));
    for (const id of healed) await this.#unmark(id, records);
    return { counts, faults };
  }

  /** What is known to be wrong with other trees than those that are told of. */
  standingDamage(told: readonly Fault[]): Promise<readonly Fault[]> {
    const ids = told.flatMap((fault) => (fault.kind === "tree" ? fault.id : []));
    return findStandingDamage(this.#cache, new Set(ids));
  }

  /** What everything in the data dir takes on disk, by kind, each file once. */
  measure(signal: AbortSignal): Promise<readonly MeasuredKind[]> {
    return this.#host.call("measure", this.#cache.layout.dataDir, { signal });
  }

  /** Ends the thread. */
  async close(): Promise<void> {
    await this.#host.close();
  }

  /** The trees that have a record; one may go meanwhile. What cannot be read is logged and moved aside by whoever reads it. */
  async #records(faults: Fault[]): Promise<KnownTrees> {
    const records = new Map<TreeId, KnownTree>();
    for (const id of await this.#cache.trees.ids()) {
      const onCorrupt = () => faults.push({ kind: "state", path: `trees/${id}.json`, says: UNREADABLE });
      const record = await this.#cache.trees.record(id, onCorrupt);
      if (record === undefined) continue;
      const { manifest, inodes, layers, damage, createdAt, damagedAt } = record;
      records.set(id, { id, manifest, inodes, layers, damage, createdAt, damagedAt });
    }
    return records;
  }

  /** Notes a fault; what there is to tell: nothing of a tree which was made anew, or mended, while faults were searched for. */
  async #note(fault: Fault, before: KnownTrees, movesAside: boolean): Promise<readonly Fault[]> {
    const { trees, leases } = this.#cache;
    if (fault.kind === "state") return [fault];
    if (fault.kind === "tree") {
      using _ = await leases.hold(fault.id);
      const record = await trees.record(fault.id);
      if (record?.createdAt !== before.get(fault.id)?.createdAt) return [];
      this.#log.error("a tree shows wrong files", { tree: fault.id, reason: fault.says });
      const isNews = record?.damage !== fault.says;
      if (isNews) await trees.markDamaged(fault.id, fault.says);
      const says = isNews ? fault.says : describeMark(record);
      return [{ ...fault, says, reference: record?.references.at(-1) }];
    }
    const moved = movesAside && !fault.isKept ? await this.#moveAside(fault) : [];
    const what = fault.kind === "blob" ? "a blob is wrong" : "an unpacked layer is wrong";
    this.#log.error(what, { digest: fault.digest, reason: fault.says, moved });
    return [fault];
  }

  /** Takes the mark from a tree whose files are right by now, unless it is another mark than when they were read. */
  async #unmark(id: TreeId, before: KnownTrees): Promise<void> {
    const { trees, leases } = this.#cache;
    using _ = await leases.hold(id);
    if (await trees.unmark(id, before.get(id)?.damagedAt))
      this.#log.info("a damaged tree is right again", { tree: id });
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
      const aside = this.#cache.layout.damagedFile();
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
  const name = fault.reference === undefined ? "" : ` (${fault.reference})`;
  return `tree ${shortId(fault.id)}${name}: ${fault.says}`;
}

function shortId(id: TreeId): string {
  return id.slice(0, 12);
}
