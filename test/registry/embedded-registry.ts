import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { type AccessRequest, type RegistryAuth, RegistryDoor } from "./registry-auth.ts";
import { answerApi, errorAnswer, json, type Route, routeFromPath } from "./registry-api.ts";
import { RegistryContent } from "./registry-content.ts";
import { type Answer, deliver, type FaultHook } from "./registry-delivery.ts";
import { type LoggedRequest, RequestLog, type RequestOrigin } from "./request-log.ts";

/** How an embedded registry behaves; without any of these it serves everybody, fast and without fault. */
export interface EmbeddedRegistryOptions {
  readonly auth?: RegistryAuth;
  /** Serve https with this key and certificate (PEM). */
  readonly tls?: { readonly key: string; readonly cert: string };
  /** Answer blobs by a redirect to a second origin, which refuses any Authorization as object stores do. */
  readonly redirectBlobs?: boolean;
  /** Speed of blob bodies on each connection. */
  readonly bytesPerSecond?: number;
  /** False: a Range header is ignored and the whole blob sent. */
  readonly acceptRanges?: boolean;
  readonly fault?: FaultHook;
}

/** A small OCI distribution registry on the loopback interface, in memory: for tests and for the demo. */
export class EmbeddedRegistry implements AsyncDisposable {
  readonly log = new RequestLog();
  readonly content = new RegistryContent();
  readonly door: RegistryDoor;
  /** What goes wrong; a test may change it on the way. */
  fault: FaultHook | undefined;
  readonly #options: EmbeddedRegistryOptions;
  readonly #api: Server;
  readonly #blobs: Server;

  private constructor(options: EmbeddedRegistryOptions) {
    this.#options = options;
    this.fault = options.fault;
    this.door = new RegistryDoor(options.auth ?? { kind: "none" });
    this.#api = this.#server("registry");
    this.#blobs = this.#server("blobs");
  }

  /** Starts one on a free port. Close it, or bind it with `await using`. */
  static async start(options: EmbeddedRegistryOptions = {}): Promise<EmbeddedRegistry> {
    const registry = new EmbeddedRegistry(options);
    await listen(registry.#api);
    if (options.redirectBlobs) await listen(registry.#blobs);
    return registry;
  }

  /** `127.0.0.1:<port>`: the registry part of references. */
  get host(): string {
    return `127.0.0.1:${portOf(this.#api)}`;
  }

  /** Where the API is. */
  get url(): string {
    return `${this.#scheme}://${this.host}`;
  }

  /** Cuts all connections and stops listening. */
  async close(): Promise<void> {
    const servers = [this.#api, this.#blobs].filter((server) => server.listening);
    await Promise.all(
      servers.map((server) => {
        const gone = new Promise((resolve) => server.close(resolve));
        server.closeAllConnections();
        return gone;
      }),
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  get #scheme(): string {
    return this.#options.tls === undefined ? "http" : "https";
  }

  #server(origin: RequestOrigin): Server {
    const handler = (request: IncomingMessage, response: ServerResponse) => {
      this.#handle(origin, request, response).catch((reason) => response.destroy(reason));
    };
    return this.#options.tls === undefined ? createServer(handler) : createTlsServer(this.#options.tls, handler);
  }

  async #handle(origin: RequestOrigin, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", this.url);
    const where = url.pathname === "/token" ? "token" : origin;
    const entry = this.log.begin(request.method ?? "GET", url, where, request.headers);
    response.once("close", () => {
      entry.finished = true;
      this.log.changed();
    });
    const body = await readBody(request);
    const fault = this.fault?.(entry);
    const answer =
      fault?.kind === "status"
        ? { status: fault.status, headers: fault.headers ?? {}, body: Buffer.from(fault.body ?? "") }
        : this.#answer(entry, url, request, body);
    await deliver(response, entry, answer, { log: this.log, bytesPerSecond: this.#options.bytesPerSecond, fault });
  }

  #answer(entry: LoggedRequest, url: URL, request: IncomingMessage, body: Buffer): Answer {
    const authorization = entry.headers.authorization;
    if (entry.origin === "token") {
      const parameters = entry.method === "POST" ? new URLSearchParams(body.toString()) : url.searchParams;
      const token = this.door.answerToken(entry.method, parameters, authorization);
      return json(token.status, token.body);
    }
    const route = routeFromPath(url.pathname);
    if (entry.origin === "registry") {
      const refusal = this.door.refuse(authorization, accessFor(route, entry.method), this.url);
      if (refusal !== undefined) {
        const headers = refusal.challenge === undefined ? {} : { "www-authenticate": refusal.challenge };
        return errorAnswer(refusal.status, refusal.code, "access refused", headers);
      }
      if (this.#redirects(route, entry.method)) return this.#redirect(url);
    } else if (authorization !== undefined) {
      return errorAnswer(400, "INVALID_REQUEST", "signed URLs take no Authorization");
    }
    const contentType = request.headers["content-type"] ?? "application/octet-stream";
    const api = { method: entry.method, query: url.searchParams, contentType, range: entry.headers.range, body };
    return answerApi(this.content, route, api, this.#options.acceptRanges ?? true);
  }

  #redirects(route: Route, method: string): boolean {
    return this.#options.redirectBlobs === true && route.kind === "blob" && method === "GET";
  }

  #redirect(url: URL): Answer {
    const location = `${this.#scheme}://127.0.0.1:${portOf(this.#blobs)}${url.pathname}?signature=blob-store-secret`;
    return { status: 307, headers: { location }, body: Buffer.alloc(0) };
  }
}

function accessFor(route: Route, method: string): AccessRequest {
  const repository = "repository" in route ? route.repository : "";
  const read = (method === "GET" || method === "HEAD") && route.kind !== "upload";
  return { repository, action: read ? "pull" : "push" };
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece);
  return Buffer.concat(pieces);
}

function listen(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => resolve());
  });
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}
