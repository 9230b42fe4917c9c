import { createSecureContext, rootCertificates, type SecureContext } from "node:tls";
import { type Clock, Semaphore } from "../../base/index.ts";
import { Connection, type ConnectionOptions } from "./connection.ts";
import type { Exchange } from "./exchange.ts";
import type { HttpLimits, HttpRequest, HttpResponse } from "./http-types.ts";
import { NameLookups } from "./name-lookups.ts";
import type { ProxyChooser } from "./proxy.ts";
import { hostLabel, originKey } from "./target.ts";
import type { TlsSettings } from "./tls-settings.ts";
import { TransportError } from "./transport-error.ts";

/** What a pool needs. */
export interface ConnectionPoolOptions {
  readonly clock: Clock;
  readonly limits: HttpLimits;
  readonly userAgent: string;
  /** PEM texts added to the built-in roots. */
  readonly caCertificates: readonly string[];
  /** Chooses what requests go through; without it nothing. */
  readonly proxyFor?: ProxyChooser | undefined;
}

/** The connections to one origin, and the places for more. */
interface Host {
  readonly key: string;
  readonly places: { readonly long: Semaphore; readonly small: Semaphore };
  /** Connections that nobody uses, last used last. */
  readonly idle: Connection[];
  /** Requests that wait for a place or hold one. */
  users: number;
}

// Each holds all roots. Settings change seldom, and most hosts have none of their own.
const maxSecureContexts = 16;

/** Sends requests over HTTP/1.1 connections that are kept, and bounded in number, per origin. */
export class ConnectionPool {
  readonly #options: ConnectionPoolOptions;
  readonly #hosts = new Map<string, Host>();
  readonly #connections = new Set<Connection>();
  readonly #names: NameLookups;
  /** By the settings' id; without one, for the roots alone. */
  readonly #secureContexts = new Map<string, SecureContext>();
  #isClosed = false;

  constructor(options: ConnectionPoolOptions) {
    this.#options = options;
    this.#names = new NameLookups(options.clock);
  }

  /**
   * One request, no redirects. Waits for a place, which the answer holds until its body is read. Rejects with a
   * `TransportError` or the signal's reason.
   */
  async request(request: HttpRequest): Promise<HttpResponse> {
    const first = await this.#start(request, true);
    try {
      return await first.exchange.response;
    } catch (error) {
      // A kept connection may have been closed by its server just before the request reached it: that says nothing
      // about the request, which nobody has seen. (All requests of this client can be repeated safely.)
      const wasStale =
        first.wasKept && !first.exchange.sawByte && error instanceof TransportError && error.fault === "cut";
      if (!wasStale || this.#isClosed) throw error;
    }
    return await (await this.#start(request, false)).exchange.response;
  }

  /** Ends all connections; requests under way fail. */
  close(): void {
    this.#isClosed = true;
    for (const connection of [...this.#connections]) connection.close();
    this.#hosts.clear();
    this.#connections.clear();
  }

  async #start(request: HttpRequest, mayReuse: boolean): Promise<{ exchange: Exchange; wasKept: boolean }> {
    const host = this.#hostOf(request);
    const leave = this.#enterIfFree(host, request) ?? (await this.#enter(host, request));
    let connection: Connection | undefined;
    try {
      // It may have fired between the place and this.
      request.signal?.throwIfAborted();
      if (this.#isClosed) throw new TransportError("cut", hostLabel(request.target), "the client is closed");
      const kept = mayReuse ? keptFor(host) : undefined;
      const used = kept ?? (await this.#connect(request));
      connection = used;
      const exchange = used.send(request, this.#headersOf(request), () => {
        this.#giveBack(host, used);
        leave();
      });
      return { exchange, wasKept: kept !== undefined };
    } catch (error) {
      if (connection !== undefined) this.#discard(connection);
      leave();
      throw error;
    }
  }

  #hostOf(request: HttpRequest): Host {
    const key = `${request.trust} ${originKey(request.target)} ${request.tls?.id ?? ""}`;
    const known = this.#hosts.get(key);
    if (known !== undefined) return known;
    const { connectionsPerHost, smallConnectionsPerHost } = this.#options.limits;
    const places = { long: new Semaphore(connectionsPerHost), small: new Semaphore(smallConnectionsPerHost) };
    const host: Host = { key, places, idle: [], users: 0 };
    this.#hosts.set(key, host);
    return host;
  }

  /** A place that is free now, and what gives it back, once. */
  #enterIfFree(host: Host, request: HttpRequest): (() => void) | undefined {
    const free = placesFor(host, request).tryAcquire();
    if (free === undefined) return undefined;
    host.users++;
    return this.#placeOf(host, free);
  }

  /** Waits for a place; what it resolves with gives the place back, once. */
  async #enter(host: Host, request: HttpRequest): Promise<() => void> {
    if (request.onlyIfFree) {
      this.#dropIfUnused(host);
      throw new TransportError("busy", hostLabel(request.target), "all connections to it are in use");
    }
    host.users++;
    try {
      return this.#placeOf(host, await placesFor(host, request).acquire(request.signal));
    } catch (error) {
      this.#quit(host);
      throw error;
    }
  }

  #placeOf(host: Host, free: () => void): () => void {
    let isIn = true;
    return () => {
      if (!isIn) return;
      isIn = false;
      free();
      this.#quit(host);
    };
  }

  #quit(host: Host): void {
    host.users--;
    this.#dropIfUnused(host);
  }

  #dropIfUnused(host: Host): void {
    if (host.users === 0 && host.idle.length === 0 && this.#hosts.get(host.key) === host) this.#hosts.delete(host.key);
  }

  async #connect(request: HttpRequest): Promise<Connection> {
    const { clock, limits } = this.#options;
    const { target, trust } = request;
    const secureContext = target.scheme === "https" ? this.#contextFor(request) : undefined;
    const { lookUp } = this.#names;
    const way = { origin: target, trust, secureContext, proxy: this.#proxyFor(request), lookUp, clock, limits };
    const connection = await Connection.open(way, request);
    this.#connections.add(connection);
    if (this.#isClosed) connection.close();
    return connection;
  }

  #proxyFor({ target }: HttpRequest): ConnectionOptions["proxy"] {
    const proxy = this.#options.proxyFor?.(target);
    if (proxy === undefined) return undefined;
    const asked = { target: { ...proxy.origin, path: "/" }, trust: "verified", tls: undefined } as const;
    return { proxy, secureContext: proxy.origin.scheme === "https" ? this.#contextFor(asked) : undefined };
  }

  #contextFor({ target, trust, tls }: Pick<HttpRequest, "target" | "trust" | "tls">): SecureContext | undefined {
    const added = trust === "verified" ? [...this.#options.caCertificates, ...(tls?.caCertificates ?? [])] : [];
    const shown = tls?.clientCertificates ?? [];
    if (added.length === 0 && shown.length === 0) return undefined;
    const id = `${trust} ${tls?.id ?? ""}`;
    const context = this.#secureContexts.get(id) ?? createContext(added, shown, hostLabel(target));
    this.#secureContexts.delete(id);
    this.#secureContexts.set(id, context);
    const [oldest] = this.#secureContexts.keys();
    if (this.#secureContexts.size > maxSecureContexts && oldest !== undefined) this.#secureContexts.delete(oldest);
    return context;
  }

  #discard(connection: Connection): void {
    this.#connections.delete(connection);
    connection.close();
  }

  #giveBack(host: Host, connection: Connection): void {
    if (!connection.isUsable() || this.#isClosed) {
      this.#connections.delete(connection);
      return;
    }
    host.idle.push(connection);
    connection.rest(this.#options.limits.idleTimeoutMs, () => {
      const at = host.idle.indexOf(connection);
      if (at >= 0) host.idle.splice(at, 1);
      this.#connections.delete(connection);
      this.#dropIfUnused(host);
    });
  }

  #headersOf(request: HttpRequest): ReadonlyMap<string, string> {
    const headers = new Map<string, string>();
    headers.set("Host", hostLabel(request.target));
    headers.set("User-Agent", this.#options.userAgent);
    headers.set("Accept-Encoding", "identity");
    for (const [name, value] of request.headers) headers.set(name, value);
    if (request.body !== undefined) headers.set("Content-Length", String(Buffer.byteLength(request.body, "latin1")));
    return headers;
  }
}

function createContext(
  added: readonly string[],
  shown: TlsSettings["clientCertificates"],
  host: string,
): SecureContext {
  try {
    const cert = shown.map(({ certificate }) => certificate);
    const key = shown.map((pair) => pair.key);
    return createSecureContext({ ca: [...rootCertificates, ...added], ...(shown.length === 0 ? {} : { cert, key }) });
  } catch (error) {
    // The library's own text may tell of a key.
    const message = "the certificates given for it, beside the built-in roots, cannot be used";
    throw new TransportError("certificate", host, message, error);
  }
}

/** A connection that was kept and is still of use. */
function keptFor({ idle }: Host): Connection | undefined {
  for (let kept = idle.pop(); kept !== undefined; kept = idle.pop()) if (kept.isUsable()) return kept;
  return undefined;
}

function placesFor({ places }: Host, { takesLong }: HttpRequest): Semaphore {
  return takesLong ? places.long : places.small;
}
