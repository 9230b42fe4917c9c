import { ConnectionPool } from "../../src/registry/http/connection-pool.ts";
import { defaultHttpLimits, type HttpLimits, type HttpRequest } from "../../src/registry/http/http-types.ts";
import { TransportError, type TransportFault } from "../../src/registry/http/transport-error.ts";
import type { Certificates } from "../registry/index.ts";
import { ManualClock, type Peer, RawServer } from "./index.ts";

/** A pool of connections, and a server that answers by a script. */
export interface PoolBench extends AsyncDisposable {
  readonly clock: ManualClock;
  readonly server: RawServer;
  readonly pool: ConnectionPool;
  request(more?: Partial<HttpRequest>): HttpRequest;
  /** Sends a request and reads all of its answer as text. */
  get(more?: Partial<HttpRequest>): Promise<string>;
}

/** Starts both, over TLS that nobody verifies if there are certificates; the clock is the test's. */
export async function usePool(
  script: (peer: Peer) => Promise<void> | void,
  limits: Partial<HttpLimits> = {},
  tls?: Certificates,
): Promise<PoolBench> {
  const server = await RawServer.start(script, tls);
  const clock = new ManualClock();
  const pool = new ConnectionPool({
    clock,
    limits: { ...defaultHttpLimits, ...limits },
    userAgent: "test",
    caCertificates: [],
  });
  const request = (more: Partial<HttpRequest> = {}): HttpRequest => ({
    method: "GET",
    target: { scheme: tls === undefined ? "http" : "https", host: "127.0.0.1", port: server.port, path: "/x" },
    trust: tls === undefined ? "verified" : "unverified",
    headers: new Map(),
    ...more,
  });
  return {
    clock,
    server,
    pool,
    request,
    get: async (more) => (await (await pool.request(request(more))).body.readAtMost(1e6)).bytes.toString("latin1"),
    async [Symbol.asyncDispose]() {
      pool.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

/** An answer with that body. */
export const ok = (body: string) => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

/** Whether an error is a transport's of that kind. */
export function faultIs(fault: TransportFault, says = /./) {
  return (e: unknown) => e instanceof TransportError && e.fault === fault && says.test(e.message);
}
