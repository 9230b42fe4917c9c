import type { ErrorData } from "../base/index.ts";
import type { DiskUse, StagedLayer, UnpackWay } from "../cache/index.ts";
import type { Digest } from "../oci/index.ts";
import type {
  CredentialOffer,
  DeferredCredential,
  FetchedManifest,
  HostAccess,
  HostFailure,
  Repository,
} from "../registry/index.ts";
import type { UnpackLimits } from "../unpack/index.ts";
import type { PlacedLayer } from "./placed-layer.ts";
import type { TreeExchangeOptions } from "./tree-exchange.ts";

/** What a request to a registry needs, whatever it asks for. */
export interface RegistryAccess {
  readonly repository: Repository;
  /** In the order they are asked; without any, only the registry itself is. */
  readonly hosts?: readonly HostAccess[] | undefined;
  /** For the registry itself where no hosts are given, in the order they are tried. */
  readonly credentials: readonly CredentialOffer[];
  /** Roots beside the built-in ones, PEM. */
  readonly caCertificates: readonly string[];
}

/** Asks which one a manifest is. */
export interface ManifestRequest extends RegistryAccess {
  readonly tagOrDigest: string;
}

/** Reads one manifest. */
export interface GetManifest extends ManifestRequest {
  /** Where a large one is put, a name in tmp/ that is free: many may come at once. The caller removes it. */
  readonly largeFile: string;
}

/** A manifest as the pull worker hands it over: `bytes` is undefined for one that it put into `largeFile`. */
export type HandedManifest = Omit<FetchedManifest, "bytes"> & { readonly bytes: Uint8Array | undefined };

/** Makes one tree in tmp/: everything that the pull worker needs to know. */
export interface PullJob extends RegistryAccess {
  readonly dataDir: string;
  /** An empty folder in tmp/ for whatever is half-made; the caller removes it with what is left in it. */
  readonly staging: string;
  /** What messages call the artifact. */
  readonly reference: string;
  readonly layers: readonly PlacedLayer[];
  /** Which of the layers' digests the repository has not given yet: those are fetched even if the cache has them. */
  readonly unproven: readonly Digest[];
  /** What registries may be shown stays the same until they refuse it: one caller wants the tree, and no volumes. */
  readonly isForOneCaller: boolean;
  /** Whether bytes count only for the repositories that gave them. */
  readonly enforceNamespaces: boolean;
  /** Whether blobs must survive a power cut; if not, the cache is thrown away, and its layers may be taken apart. */
  readonly isDurable: boolean;
  /** Blobs at once. */
  readonly concurrency: number;
  /** Tar layers may unpack to this many times their packed size (or 1 GiB, if that is more); 0: to any size. */
  readonly maxUnpackRatio: number;
  /** What the cache has is read and compared before it counts: the tree was found to be damaged. */
  readonly isThorough: boolean;
  /** Nothing may be fetched: the job fails with "not-found" if the cache lacks anything. */
  readonly isOffline: boolean;
}

/** A tree that stands in tmp/, not yet synced. */
export interface StagedTree {
  readonly folder: string;
  readonly bytes: number;
  readonly inodes: number;
  /** Entries of tar layers that were left out: devices, FIFOs, sockets. */
  readonly skippedEntries: number;
  /** Unpacked layers of the cache that were not whole any more: they were fetched anew. */
  readonly refetched: readonly Digest[];
}

/** How far a pull is. */
export interface PullProgress {
  readonly phase: "fetching" | "unpacking" | "assembling";
  /** Bytes of the blobs that had to be fetched. */
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** Bytes that registries sent: more than `doneBytes` where something was fetched twice, less where another pull fetched it. */
  readonly fetchedBytes: number;
  /** Bytes that earlier pulls left and this one went on with. */
  readonly resumedBytes: number;
  /** Tries that failed before another one. */
  readonly retries: number;
  /** Those of them that did not come from the registry itself. */
  readonly mirrorBytes: number;
}

/** A try that failed while the worker goes on trying. */
export interface FailedTry {
  readonly failedTry: string;
}

/** A host that did not serve while others are still to be asked: for the log and the metrics. */
export interface FailedHost {
  readonly failedHost: HostFailure;
}

/** What a request to a registry tells while it goes on. */
export type RequestEvent = FailedTry | FailedHost;

/** Asks the node's helpers and providers for a credential whose turn has come; an `UnveiledCredential` is the answer. */
export interface UnveilAsk {
  readonly unveil: DeferredCredential;
  /** What was fetched earlier was refused. */
  readonly isFresh: boolean;
}

/** What one or more of the volumes that want a pull let it show to registries. */
export interface OfferedAccess {
  /** Tells it from the others of this pull. */
  readonly id: number;
  readonly hosts?: RegistryAccess["hosts"];
  readonly credentials: RegistryAccess["credentials"];
}

/**
 * Asks what may be shown now; an `OfferedAccess` is the answer, or undefined. After a refusal: what else may be shown, if
 * anything; without one: undefined stands for what the job has.
 */
export interface OfferAsk {
  readonly offer: { readonly refused?: { readonly id: number; readonly error: ErrorData } };
}

/** Lets other pulls go first while nothing comes for this one; to take a place again may take a while. */
export interface PlaceAsk {
  readonly place: "leave" | "take";
}

/**
 * What a pull has done, or asks, on the main thread: a staged layer is committed; bytes that came from the repository are
 * noted.
 */
export type PullAsk = StagedLayer | { readonly given: Digest } | OfferAsk | PlaceAsk;

/** What the pull worker is started with. */
export interface PullWorkerLimits {
  /** Bytes a second that all pulls together take. */
  readonly maxBandwidth?: number | undefined;
  /** A connection that brings no byte for so long is cut; milliseconds. */
  readonly stallTimeoutMs?: number | undefined;
}

/** The calls of the pull worker. */
export type PullWorkerCalls = {
  readonly manifest: { payload: GetManifest; result: HandedManifest; event: RequestEvent; ask: UnveilAsk };
  readonly head: { payload: ManifestRequest; result: Digest | undefined; event: RequestEvent; ask: UnveilAsk };
  readonly pull: {
    payload: PullJob;
    result: StagedTree;
    event: PullProgress | RequestEvent;
    ask: PullAsk | UnveilAsk;
  };
  readonly exchange: { payload: TreeExchangeOptions; result: number; event: never; ask: never };
};

/** One tar layer for the unpack worker: the compressed file grows while it is unpacked. */
export interface UnpackJob {
  /** Whose budget it draws on. */
  readonly pull: string;
  readonly file: string;
  readonly way: UnpackWay;
  /** The other side of the file's `Growth`. */
  readonly growth: SharedArrayBuffer;
  /** A fresh, empty folder. */
  readonly folder: string;
  /** Where the layer's index is written. */
  readonly indexFile: string;
  /** What messages call the layer. */
  readonly what: string;
  readonly limits: UnpackLimits;
  readonly uncompressedDigest: Digest | undefined;
  /** Whether the layer stays. Else nobody checks its files one by one, or asks what they take on disk. */
  readonly isDurable: boolean;
}

/** What all tar layers of one pull together may unpack to; held for as long as the call runs, which is until it is cancelled. */
export interface BudgetHold {
  readonly pull: string;
  readonly limits: UnpackLimits;
}

/** What a tar layer became. */
export interface UnpackResult {
  readonly skippedEntries: number;
  /** What it takes on disk, if it stays. */
  readonly use: DiskUse | undefined;
}

/** The calls of the unpack worker. */
export type UnpackWorkerCalls = {
  readonly hold: { payload: BudgetHold; result: never; event: never; ask: never };
  readonly unpack: { payload: UnpackJob; result: UnpackResult; event: never; ask: never };
};
