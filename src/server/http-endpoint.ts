import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { type Clock, describeError, errnoOf, type Logger, sleep } from "../base/index.ts";

/** What a path answers. */
export interface HttpPage {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** Where and what to serve. */
export interface HttpEndpointOptions {
  /** A name or an address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  /** By path. */
  readonly pages: Readonly<Record<string, () => Promise<HttpPage>>>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** More clients than this at once, and the one that came first is cut off: idle ones must not keep a probe out. */
const MAX_CONNECTIONS = 64;
/** How long a client may take for everything; a health check takes 3 s at most. */
const CONNECTION_MS = 10_000;
/** A taken port is tried again after so long, then after twice as long, up to the longest. */
const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 30_000;
/** What the last bytes of answers have to leave the process when it stops. */
const FLUSH_MS = 250;

/**
 * Serves a few pages by HTTP: one request a connection, so that nobody holds one for longer than it takes. That the
 * address cannot be had is logged once and tried again for as long as it takes: nothing else waits for it.
 */
export class HttpEndpoint {
  readonly #options: HttpEndpointOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #stopping = new AbortController();
  #listening: Promise<void> = Promise.resolve();

  private constructor(options: HttpEndpointOptions) {
    this.#options = options;
    this.#server = createServer((request, response) => void this.#answer(request, response));
    this.#server.on("connection", (socket) => this.#follow(socket));
  }

  /** Begins to listen, and returns before it does. */
  static open(options: HttpEndpointOptions): HttpEndpoint {
    const endpoint = new HttpEndpoint(options);
    endpoint.#start();
    return endpoint;
  }

  /** Stops listening and closes all connections, after what is being answered, if that is soon. */
  async close(): Promise<void> {
    this.#stopping.abort();
    await this.#listening;
    if (!this.#server.listening) return;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    await Promise.race([closed, sleep(this.#options.clock, FLUSH_MS)]);
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #start(): void {
    this.#listening = this.#listen();
  }

  /** Never rejects; ends when it listens or is to stop. */
  async #listen(): Promise<void> {
    const { host, port, clock, logger } = this.#options;
    const { signal } = this.#stopping;
    let said = "";
    for (let retryMs = FIRST_RETRY_MS; !signal.aborted; retryMs = Math.min(2 * retryMs, LONGEST_RETRY_MS)) {
      try {
        const address = await listenOn(this.#server, { host, port });
        this.#server.on("error", (error) => logger.error("the HTTP endpoint fails", { error: describeError(error) }));
        logger.info("health and metrics are served", { address });
        return;
      } catch (error) {
        const reason = errnoOf(error) ?? describeError(error);
        const fields = { address: `${host}:${port}`, reason };
        logger[reason === said ? "debug" : "warn"]("cannot serve health and metrics, trying again", fields);
        said = reason;
      }
      // Rejects only when it is to stop, which the loop sees.
      await sleep(clock, retryMs, signal).catch(() => undefined);
    }
  }

  #follow(socket: Socket): void {
    const cancel = this.#options.clock.after(CONNECTION_MS, () => socket.destroy());
    this.#sockets.add(socket);
    socket.once("close", () => {
      cancel();
      this.#sockets.delete(socket);
    });
    const [first] = this.#sockets;
    if (this.#sockets.size > MAX_CONNECTIONS) first?.destroy();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { status, contentType, body } = await this.#pageFor(request);
    response.writeHead(status, {
      "content-type": contentType,
      "content-length": Buffer.byteLength(body),
      "cache-control": "no-store",
      connection: "close",
      ...(status === 405 ? { allow: "GET, HEAD" } : {}),
    });
    response.end(request.method === "HEAD" ? undefined : body);
  }

  async #pageFor({ method, url = "" }: IncomingMessage): Promise<HttpPage> {
    const { pages, logger } = this.#options;
    const path = url.split("?", 1)[0] ?? "";
    const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
    if (page === undefined) return textPage(404, `there are ${Object.keys(pages).join(", ")}`);
    if (method !== "GET" && method !== "HEAD") return textPage(405, "only GET and HEAD");
    try {
      return await page();
    } catch (error) {
      logger.error("an HTTP page fails", { path, error: describeError(error) });
      return textPage(500, "unexpected driver failure, see the driver log");
    }
  }
}

/** A page of plain text. */
export function textPage(status: number, body: string): HttpPage {
  return { status, contentType: "text/plain; charset=utf-8", body };
}

/** Resolves to the address when the server listens. The server can be tried again after a failure. */
function listenOn(server: Server, where: { readonly host: string; readonly port: number }): Promise<string> {
  return new Promise((resolve, reject) => {
    const done = () => {
      server.off("error", onError);
      server.off("listening", onListening);
    };
    const onError = (error: Error) => {
      done();
      reject(error);
    };
    const onListening = () => {
      done();
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? `${where.host}:${address.port}` : where.host);
    };
    server.once("error", onError).once("listening", onListening).listen(where);
  });
}
