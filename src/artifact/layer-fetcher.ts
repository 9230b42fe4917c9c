import { DriverError, type ErrorKind } from "../base/index.ts";
import type { Blobs, Layout, StagedLayer } from "../cache/index.ts";
import {
  BlobProgress,
  type BlobSink,
  type HostFailure,
  type HostKind,
  type RegistryClient,
} from "../registry/index.ts";
import { quoteName } from "../unpack/index.ts";
import type { Bandwidth } from "./bandwidth.ts";
import { diskErrorFrom } from "./disk-error.ts";
import { downloadOrigin } from "./download-origin.ts";
import { errorDuring } from "./error-during.ts";
import { HeldBytes } from "./held-bytes.ts";
import { IngestFile, WORTH_KEEPING_BYTES } from "./ingest-file.ts";
import type { PullUnpacking } from "./layer-unpacker.ts";
import { foreignLayer, formOf, type PlacedLayer } from "./placed-layer.ts";
import type { PullAccess } from "./pull-access.ts";
import type { PullCounts } from "./pull-counts.ts";
import type { FetchTurn } from "./pull-place.ts";
import type { Unpacking } from "./unpacking.ts";
import type { PullJob } from "./worker-calls.ts";

/** What fetching the layers of one pull needs. */
export interface LayerFetcherOptions {
  readonly job: Pick<PullJob, "repository" | "reference" | "enforceNamespaces" | "isDurable">;
  readonly client: RegistryClient;
  readonly access: PullAccess;
  readonly layout: Layout;
  readonly blobs: Blobs;
  readonly counts: PullCounts;
  readonly bandwidth: Bandwidth | undefined;
  readonly onFailedTry: (failedTry: string) => void;
  readonly onHostFailed: (failure: HostFailure) => void;
  /**
   * Runs a commit unless the cache has the layer by now, from another origin; one at a time for each digest. False if it
   * was not run.
   */
  readonly commitOnce: (layer: PlacedLayer, commit: () => Promise<void>) => Promise<boolean>;
  /** Makes an unpacked layer durable and visible. */
  readonly commitLayer: (staged: StagedLayer) => Promise<void>;
}

/** How one layer is fetched. */
export interface FetchOptions {
  readonly signal: AbortSignal;
  readonly turn: FetchTurn;
  /** Called when all bytes are there. */
  readonly onFetched?: () => void;
  /** Called when a tar layer is unpacked: to make it durable takes a while. */
  readonly onUnpacked?: () => void;
}

/** After these a later pull may need what came so far. */
const worthKeeping: ReadonlySet<ErrorKind> = new Set([
  "cancelled",
  "unavailable",
  "unauthenticated",
  "forbidden",
  "not-found",
]);

/** Fetches the layers of one pull: each verified, from where an earlier pull stopped. */
export class LayerFetcher {
  readonly #options: LayerFetcherOptions;

  constructor(options: LayerFetcherOptions) {
    this.#options = options;
  }

  /** Fetches a file layer; it is a blob of the cache then. */
  async fetchFile(layer: PlacedLayer, how: FetchOptions): Promise<void> {
    const { blobs, job } = this.#options;
    if (!job.isDurable && layer.descriptor.size < WORTH_KEEPING_BYTES) return await this.#fetchSmallFile(layer, how);
    await this.#withIngest(layer, how.signal, async (ingest) => {
      await this.#fetchInto(layer, ingest, noFollower, how);
      await ingest.close();
      const commit = () => blobs.commit(ingest.path, layer.descriptor.digest);
      if (await this.#options.commitOnce(layer, commit)) ingest.renamed();
      else await ingest.discard();
    });
  }

  /** Of a cache that is thrown away: nobody would go on with a part of it, and nobody else puts anything there. */
  async #fetchSmallFile(layer: PlacedLayer, how: FetchOptions): Promise<void> {
    const { size, digest } = layer.descriptor;
    const held = new HeldBytes(size);
    await this.#fetchInto(layer, held, noFollower, how);
    this.#options.blobs.putNow(digest, held.bytes);
  }

  /** Fetches a tar layer, unpacks it meanwhile, and commits it; how many of its entries were left out. */
  async fetchTar(layer: PlacedLayer, unpacking: PullUnpacking, how: FetchOptions): Promise<number> {
    return await this.#withIngest(layer, how.signal, async (ingest) => {
      const { staged, skippedEntries } = await this.#unpackWhileFetching(layer, ingest, unpacking, how);
      how.onUnpacked?.();
      await this.#options.commitOnce(layer, () => this.#options.commitLayer(staged));
      await ingest.discard();
      return skippedEntries;
    });
  }

  /** Fetches what the cache has already: the bytes only prove that the repository has them, too. */
  async fetchProof(layer: PlacedLayer, how: FetchOptions): Promise<void> {
    await this.#fetchInto(layer, new DroppedBytes(), noFollower, how);
  }

  async #unpackWhileFetching(
    layer: PlacedLayer,
    ingest: IngestFile,
    unpacking: PullUnpacking,
    how: FetchOptions,
  ): ReturnType<Unpacking["finish"]> {
    const { counts, job } = this.#options;
    const { signal } = how;
    let current = unpacking.start(layer, ingest.path);
    // The unpacker may be far behind: nobody waits until it has caught up.
    const onAbort = () => void current.abandon();
    signal.addEventListener("abort", onAbort, { once: true });
    const restarted = async () => {
      await current.abandon();
      current = unpacking.start(layer, ingest.path);
    };
    try {
      await this.#fetchInto(layer, ingest, { written: (length) => current.advance(length), restarted }, how);
      counts.tell("unpacking");
      return await current.finish().catch((error: unknown) => {
        throw errorDuring(`pull ${job.reference}, layer ${quoteName(Buffer.from(layer.path))}`, error);
      });
    } catch (error) {
      await current.abandon();
      throw error;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Runs `work` on the layer's ingest file; afterwards it is there only if another pull may go on with it. */
  async #withIngest<T>(
    { kind, descriptor }: PlacedLayer,
    signal: AbortSignal,
    work: (ingest: IngestFile) => Promise<T>,
  ): Promise<T> {
    const { layout, job } = this.#options;
    const origin = downloadOrigin(job);
    const ingest = new IngestFile({
      path: layout.ingestFile(descriptor.digest, origin),
      sizeBytes: descriptor.size,
      origin,
      form: formOf(kind),
      isDurable: job.isDurable,
    });
    try {
      return await work(ingest);
    } catch (error) {
      // A layer that ends since another one failed is worth as much as the whole pull.
      const failure = diskErrorFrom(signal.aborted ? signal.reason : error, `pull ${job.reference}`);
      const isKept = failure instanceof DriverError && worthKeeping.has(failure.kind);
      await (isKept ? ingest.keep() : ingest.discard());
      throw error;
    }
  }

  async #fetchInto(
    { descriptor, path, hasUrls }: PlacedLayer,
    receiver: Receiver,
    follower: IngestFollower,
    how: FetchOptions,
  ): Promise<void> {
    const { job, client, access, counts, bandwidth, onFailedTry, onHostFailed } = this.#options;
    const { signal, turn } = how;
    const progress = new BlobProgress(descriptor, receiver.there);
    let presentBytes = progress.receivedBytes;
    counts.resumed(presentBytes);
    counts.advance(presentBytes);
    let from: HostKind = "origin";
    const sink: BlobSink = {
      write: (chunk, offset) => {
        receiver.write(chunk, offset);
        presentBytes += chunk.length;
        counts.fetched(chunk.length, from);
        return bandwidth?.take(chunk.length, signal);
      },
      restart: async () => {
        progress.restart();
        counts.advance(-presentBytes);
        presentBytes = 0;
        await receiver.restart();
        await follower.restarted();
      },
      hashed: follower.written,
      ...(receiver.read && { read: receiver.read.bind(receiver) }),
    };
    const onRetry = (failedTry: string) => {
      counts.retried();
      onFailedTry(failedTry);
    };
    const onHost = (kind: HostKind) => {
      from = kind;
    };
    const { repository } = job;
    const query = { repository, signal, turn, onHostFailed, onHost, descriptor, sink, progress, onFailedTry: onRetry };
    await access
      .run((offered) => client.fetchHostedBlob({ ...query, ...offered }))
      .catch((error: unknown) => {
        const isElsewhere = hasUrls && error instanceof DriverError && error.kind === "not-found";
        throw isElsewhere ? errorDuring(`pull ${job.reference}`, foreignLayer(path)) : error;
      });
    how.onFetched?.();
    // What follows, like the commit, is work again.
    await turn.busy();
  }
}

/** Takes a blob's bytes where they belong. */
interface Receiver {
  /** What an earlier pull left. */
  readonly there: IngestFile["there"];
  write(chunk: Uint8Array, offset: number): void;
  restart(): void | Promise<void>;
  read?(into: Buffer, offset: number): Promise<number>;
}

/** Bytes that nobody needs. */
class DroppedBytes implements Receiver {
  readonly there = [];

  write(): void {
    // They were hashed on their way here: that is all they are for.
  }

  restart(): void {
    // There is nothing to throw away.
  }
}

const noFollower: IngestFollower = { written: () => undefined, restarted: async () => undefined };

/** Who follows what is written to an ingest file, from its start. */
interface IngestFollower {
  readonly written: (length: number) => void;
  readonly restarted: () => Promise<void>;
}
