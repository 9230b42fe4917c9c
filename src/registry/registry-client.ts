import { type Clock, type Logger, proxyVariables, Semaphore, ThreadLoad } from "../base/index.ts";
import { Authorizer } from "./auth/authorizer.ts";
import type { BlobQuery, FetchedBlob } from "./blob-query.ts";
import { fetchBlob } from "./blob-request.ts";
import { HostRest } from "./host-rest.ts";
import { fetchHostedBlob, type HostedBlobQuery } from "./hosted-blob.ts";
import { ConnectionPool } from "./http/connection-pool.ts";
import { defaultHttpLimits, type HttpLimits } from "./http/http-types.ts";
import { createProxyChooser, type ProxyChooser } from "./http/proxy.ts";
import { KnownEndpoints } from "./known-endpoints.ts";
import { LargeManifests } from "./large-manifests.ts";
import {
  type ClaimedManifest,
  type FetchedManifest,
  fetchManifest,
  headManifest,
  type ManifestQuery,
} from "./manifest-request.ts";
import { defaultRetryPolicy, type RetryPolicy } from "./retry.ts";

/** Speaks the OCI distribution protocol (distribution-spec 1.1, Pull) with any number of registries. */
export interface RegistryClient {
  /**
   * Fetches a manifest from the first host that serves it, trying each credential in order: a 401, 403 or 404 means the
   * next one, and if all are refused the first refusal is that host's error ("unauthenticated", "forbidden", "not-found"). Other errors: "unavailable" after
   * retries, "refused" for more than 4 MiB, "corrupt" for bytes that do not match the asked digest, or the signal's
   * reason.
   */
  fetchManifest(query: ManifestQuery): Promise<FetchedManifest>;
  /** What a registry claims a tag to be; undefined where HEAD is of no use. Rejects with the signal's reason only. */
  headManifest(query: ManifestQuery): Promise<ClaimedManifest | undefined>;
  /**
   * Fetches what is missing of a blob into its sink, goes on where a connection broke (Range, or `restart` where the
   * registry knows none), and verifies size and digest of all of it, what was there before included. Rejects with the same kinds as
   * `fetchManifest` ("corrupt": what the sink has is worthless), with the sink's own error, or the signal's reason.
   */
  fetchBlob(query: BlobQuery): Promise<FetchedBlob>;
  /**
   * Fetches a blob from the first host that has it, with the first credential that is let in there. Rejects as
   * `fetchBlob` does, when no host is left.
   */
  fetchHostedBlob(query: HostedBlobQuery): Promise<FetchedBlob>;
  /** Ends all connections; what is under way fails. */
  close(): void;
}

/** What a client needs. */
export interface RegistryClientOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** PEM texts of roots that are trusted beside the built-in ones. */
  readonly caCertificates: readonly string[];
  readonly userAgent: string;
  /** Where they differ from the defaults. */
  readonly limits?: Partial<HttpLimits>;
  readonly retryPolicy?: Partial<RetryPolicy>;
  /** Chooses what requests go through: as the environment says, if left out. */
  readonly proxyFor?: ProxyChooser;
  /** The share of the time in which the client's thread was busy, since it was asked last: measured if left out. */
  readonly threadLoad?: () => number;
}

/** A decoder has a window of up to 16 MiB. What comes encoded comes from a proxy that should leave blobs alone. */
const DECODED_AT_ONCE = 4;

/** A client with connections and tokens of its own; nothing is sent before the first request. */
export function createRegistryClient(options: RegistryClientOptions): RegistryClient {
  const { clock, log, caCertificates, userAgent } = options;
  const limits = { ...defaultHttpLimits, ...options.limits };
  const proxyFor = options.proxyFor ?? createProxyChooser(proxyVariables());
  const pool = new ConnectionPool({ clock, limits, userAgent, caCertificates, proxyFor });
  const send = pool.request.bind(pool);
  const authorizer = new Authorizer({ send, clock });
  const rest = new HostRest(clock);
  const endpoints = new KnownEndpoints();
  const load = new ThreadLoad();
  const threadLoad = options.threadLoad ?? (() => load.sample());
  const retryPolicy = { ...defaultRetryPolicy, ...options.retryPolicy };
  const largeManifests = new LargeManifests(clock);
  const decoding = new Semaphore(DECODED_AT_ONCE);
  const shared = { send, authorizer, rest, endpoints, largeManifests, decoding };
  const tools = { ...shared, clock, log, retryPolicy, threadLoad };
  return {
    fetchManifest: (query) => fetchManifest(tools, query),
    headManifest: (query) => headManifest(tools, query),
    fetchBlob: (query) => fetchBlob(tools, query),
    fetchHostedBlob: (query) => fetchHostedBlob(tools, query),
    close: () => pool.close(),
  };
}
