import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { ErrorKind } from "./errors.ts";
import { collectProcessMetrics } from "./process-metrics.ts";
import type { BuildInfo } from "./runtime.ts";

interface DiskFigures {
  readonly bytes: number;
  readonly inodes: number;
}

/** What is shown of the cache. */
export interface CacheFigures {
  /** By kind. */
  readonly uses: Readonly<Record<string, DiskFigures>>;
  readonly trees: number;
  readonly isFull: boolean;
}

/** Every name begins with it. */
const METRIC_PREFIX = "oras_csi_";

/** What became of a pull: its tree is there, or why it is not. */
export type PullResult = "ok" | ErrorKind;

/** By how much a pull's counts have grown. */
export interface PullIncrease {
  /** From registries and their mirrors. */
  readonly fetchedBytes: number;
  /** Those of them that came from mirrors. */
  readonly mirrorBytes: number;
  /** That earlier pulls had left. */
  readonly resumedBytes: number;
  /** Requests that failed and were tried again. */
  readonly retries: number;
}

/** From a Probe, some milliseconds, to a publish that waits as long as kubelet does. */
const RPC_SECONDS = [0.001, 0.005, 0.02, 0.1, 0.5, 1, 3, 10, 30, 60, 120];
/** From a small file to the largest models. */
const PULL_SECONDS = [0.1, 0.5, 1, 3, 10, 30, 60, 120, 300, 600, 1800, 3600];
/** Why pulls fail. */
const PULL_FAILURES: readonly ErrorKind[] = [
  "not-found",
  "unauthenticated",
  "forbidden",
  "unavailable",
  "no-space",
  "corrupt",
  "refused",
  "internal",
];

/**
 * All that the driver counts and measures, for Prometheus. docs/operations.md explains each of them. No label carries a
 * reference, a namespace or anything else that pods choose: the number of series is bounded.
 */
export class Metrics {
  readonly #registry = new Registry();
  readonly #rpcSeconds = new Histogram({
    ...this.#named("rpc_duration_seconds", "Time that calls of the CSI services took, by method"),
    labelNames: ["method"],
    buckets: RPC_SECONDS,
  });
  readonly #rpcs = new Counter({
    ...this.#named("rpcs_total", "Calls of the CSI services, by method and gRPC code"),
    labelNames: ["method", "code"],
  });
  readonly #pullsWaiting = new Gauge(this.#named("pulls_waiting", "Pulls that wait for their turn (--max-pulls)"));
  readonly #pullsInProgress = new Gauge(this.#named("pulls_in_progress", "Pulls that have their turn"));
  readonly #pullSeconds = new Histogram({
    ...this.#named("pull_duration_seconds", "Time from a pull's turn to its tree, of those that succeeded"),
    buckets: PULL_SECONDS,
  });
  readonly #pulls = new Counter({
    ...this.#named("pulls_total", "Pulls that ended: ok, or the kind of failure"),
    labelNames: ["result"],
  });
  readonly #pulledBytes = new Counter(
    this.#named("pulled_bytes_total", "Bytes of layers that pulls received from registries"),
  );
  readonly #mirrorBytes = new Counter(
    this.#named("mirror_bytes_total", "Those of the pulled bytes that came from mirrors, not from the registry itself"),
  );
  readonly #resumedBytes = new Counter(
    this.#named("resumed_bytes_total", "Bytes of layers that earlier pulls had left and later ones went on with"),
  );
  readonly #pullRetries = new Counter(
    this.#named("pull_retries_total", "Requests for layers that failed and were tried again"),
  );
  readonly #hostFailures = new Counter({
    ...this.#named(
      "host_failures_total",
      "Requests that a registry's host did not serve, by kind of host and of failure",
    ),
    labelNames: ["kind", "result"],
  });
  readonly #hits = new Counter(
    this.#named("cache_hits_total", "Volumes whose tree was on the node when they were first asked for"),
  );
  readonly #misses = new Counter(
    this.#named("cache_misses_total", "Volumes whose tree had to be made when they were first asked for"),
  );

  readonly #evictions = new Counter({
    ...this.#named("cache_evictions_total", "Trees that were taken out of the cache, by reason"),
    labelNames: ["reason"],
  });
  readonly #evictedBytes = new Counter({
    ...this.#named("cache_evicted_bytes_total", "Bytes that were taken out of the cache, by reason"),
    labelNames: ["reason"],
  });

  constructor(build: BuildInfo) {
    const { version, commit, nodeVersion } = build;
    new Gauge({
      ...this.#named("build_info", "1; what runs, in its labels"),
      labelNames: ["version", "commit", "node_version"],
    }).set({ version, commit, node_version: nodeVersion }, 1);
    // Who compares failures with it finds it also while every pull failed.
    this.#pulls.inc({ result: "ok" }, 0);
    // Prometheus sees no increase in a series that begins with its first failure: those that alerts watch begin with 0.
    for (const result of PULL_FAILURES) this.#pulls.inc({ result }, 0);
    for (const code of ["INTERNAL", "UNKNOWN"]) this.#rpcs.inc({ method: "NodePublishVolume", code }, 0);
    collectProcessMetrics(this.#registry, METRIC_PREFIX);
  }

  /** The media type of `text`. */
  get contentType(): string {
    return this.#registry.contentType;
  }

  /** All metrics as they are now, in Prometheus' text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  /** A call of the CSI services ended. */
  rpcDone(call: { readonly method: string; readonly code: string; readonly seconds: number }): void {
    const { method, code, seconds } = call;
    this.#rpcSeconds.observe({ method }, seconds);
    this.#rpcs.inc({ method, code });
  }

  /** A volume was asked for the first time: its tree was there, or is to be made. */
  treeLookedUp(found: boolean): void {
    (found ? this.#hits : this.#misses).inc();
  }

  /** A tree was taken out of the cache. */
  treeEvicted(reason: string): void {
    this.#evictions.inc({ reason });
  }

  /** Something was taken out of the cache. */
  freed(reason: string, { bytes }: { readonly bytes: number }): void {
    this.#evictedBytes.inc({ reason }, bytes);
  }

  /** A pull waits for its turn; what is returned hears how it goes on. */
  pullQueued() {
    let place: Gauge | undefined = this.#pullsWaiting;
    place.inc();
    const moveTo = (next: Gauge | undefined) => {
      place?.dec();
      next?.inc();
      place = next;
    };
    return {
      started: () => moveTo(this.#pullsInProgress),
      progressed: (more: PullIncrease) => {
        this.#pulledBytes.inc(more.fetchedBytes);
        this.#mirrorBytes.inc(more.mirrorBytes);
        this.#resumedBytes.inc(more.resumedBytes);
        this.#pullRetries.inc(more.retries);
      },
      ended: (result: PullResult, seconds: number) => {
        moveTo(undefined);
        this.#pulls.inc({ result });
        if (result === "ok") this.#pullSeconds.observe(seconds);
      },
    };
  }

  /** A host did not serve what was asked of it, and others are asked. */
  hostFailed({ kind, result }: { readonly kind: "origin" | "mirror"; readonly result: ErrorKind }): void {
    this.#hostFailures.inc({ kind, result });
  }

  /** Shows from now on how many volumes are published. */
  followVolumes(count: () => { readonly readOnly: number; readonly writable: number }): void {
    this.#follow("published_volumes", "Volumes that are published on this node, by kind", ["kind"], (gauge) => {
      const { readOnly, writable } = count();
      gauge.set({ kind: "read-only" }, readOnly);
      gauge.set({ kind: "writable" }, writable);
    });
  }

  /** Shows from now on what the cache holds, once that was counted, and whether it is full and nothing of it can go. */
  followCache(read: () => CacheFigures): void {
    const kinds = (gauge: Gauge, pick: (use: DiskFigures) => number) => {
      for (const [kind, use] of Object.entries(read().uses)) gauge.set({ kind }, pick(use));
    };
    this.#follow("cache_bytes", "Bytes that the data dir takes on disk, by kind", ["kind"], (gauge) =>
      kinds(gauge, ({ bytes }) => bytes),
    );
    this.#follow("cache_inodes", "Inodes that the data dir takes, by kind", ["kind"], (gauge) =>
      kinds(gauge, ({ inodes }) => inodes),
    );
    this.#follow("cache_trees", "Trees in the cache", [], (gauge) => gauge.set(read().trees));
    const help =
      "1 while the cache has more than its share above its high mark, or --cache-max-bytes, and nothing of it can go, else 0";
    this.#follow("cache_full", help, [], (gauge) => gauge.set(read().isFull ? 1 : 0));
  }

  /** Shows from now on whether kubelet has the driver in its list. */
  followRegistration(isRegistered: () => boolean): void {
    const help = "1 if kubelet's last word was that the driver is registered, else 0; only with --registration-dir";
    this.#follow("kubelet_registered", help, [], (gauge) => gauge.set(isRegistered() ? 1 : 0));
  }

  #follow(name: string, help: string, labelNames: string[], read: (gauge: Gauge) => void): void {
    const gauge: Gauge = new Gauge({ ...this.#named(name, help), labelNames, collect: () => read(gauge) });
  }

  #named(name: string, help: string) {
    return { name: `${METRIC_PREFIX}${name}`, help, registers: [this.#registry] };
  }
}
