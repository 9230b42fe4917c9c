import type { HeaderFields } from "./http-message.ts";
import type { Target } from "./target.ts";
import type { TlsSettings } from "./tls-settings.ts";

/** Whether a server's certificate is verified (https only). */
export type TlsTrust = "verified" | "unverified";

/** One request. */
export interface HttpRequest {
  readonly method: "GET" | "HEAD" | "POST";
  readonly target: Target;
  readonly trust: TlsTrust;
  readonly tls?: TlsSettings | undefined;
  /** By name as sent; Host, Content-Length and User-Agent are added. */
  readonly headers: ReadonlyMap<string, string>;
  /** A POST's form. */
  readonly body?: string;
  readonly signal?: AbortSignal | undefined;
  /** Less time to connect and to answer than the limits give, in milliseconds. */
  readonly patienceMs?: number | undefined;
  /** Less time to connect alone. */
  readonly connectTimeoutMs?: number | undefined;
  /** True for bodies that may take minutes: they have places of their own, and keep nobody else waiting. */
  readonly takesLong?: boolean | undefined;
  /** True for what can do without: it fails as "busy" where it would have to wait for a place. */
  readonly onlyIfFree?: boolean | undefined;
}

/** Takes a part of a body. The chunk is valid during the call, or until the returned promise settles: the socket rests. */
export type ChunkSink = (chunk: Buffer) => void | Promise<void>;

/** An answer's head, and its body still on the wire. One of the body's three ways must be taken, once. */
export interface HttpResponse {
  readonly status: number;
  readonly headers: HeaderFields;
  /** Who answered. */
  readonly target: Target;
  readonly body: HttpBody;
}

/** A body on the wire. What ends it early (abort, a sink that throws, a cut) closes the connection. */
export interface HttpBody {
  /** Bytes that the head promised; undefined where only the end will tell. */
  readonly length: number | undefined;
  /** Hands every chunk to the sink. Rejects with the sink's own error, the signal's reason or a `TransportError`. */
  readInto(sink: ChunkSink): Promise<void>;
  /**
   * The body, or its first `maxBytes`: then `whole` is false and the connection is closed. A body that takes longer than
   * `maxMs` is cut.
   */
  readAtMost(maxBytes: number, maxMs?: number): Promise<{ readonly bytes: Buffer; readonly whole: boolean }>;
  /** Nobody wants it: a small one is read so that the connection can serve again, for a large one it is closed. */
  discard(): void;
}

/** Patience and sizes of the HTTP client. */
export interface HttpLimits {
  readonly connectTimeoutMs: number;
  /** From the request sent to the answer's whole head. */
  readonly firstByteTimeoutMs: number;
  /** The longest silence inside a body. */
  readonly stallTimeoutMs: number;
  /** How long a connection is kept that nobody uses. */
  readonly idleTimeoutMs: number;
  /** For bodies that take long. */
  readonly connectionsPerHost: number;
  /** For everything else, beside those. */
  readonly smallConnectionsPerHost: number;
  readonly headBytes: number;
  /** Size of the one buffer a connection reads into. */
  readonly readBufferBytes: number;
  /** What that buffer grows to, without TLS, for a body of at least `largeBodyBytes`. */
  readonly largeReadBytes: number;
  readonly largeBodyBytes: number;
}

/** contract.md, Codes ("10 s for the first byte") and `--stall-timeout`; perf.md, 1 (256 KiB reads). */
export const defaultHttpLimits: HttpLimits = {
  connectTimeoutMs: 10_000,
  firstByteTimeoutMs: 10_000,
  stallTimeoutMs: 30_000,
  idleTimeoutMs: 5_000,
  connectionsPerHost: 16,
  smallConnectionsPerHost: 8,
  headBytes: 64 * 1024,
  readBufferBytes: 256 * 1024,
  largeReadBytes: 1024 * 1024,
  largeBodyBytes: 16 * 1024 * 1024,
};
