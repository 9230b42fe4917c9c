import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, connect } from "node:net";
import type { Duplex } from "node:stream";
import type { Certificates } from "../registry/index.ts";

/** How a proxy behaves. */
export interface ProxyServerOptions {
  /** Where everything goes, whatever was asked for. */
  readonly port: number;
  /** `user:password` that it wants. */
  readonly login?: string;
  /** What CONNECT is answered with in place of a tunnel: a status, or bytes. */
  readonly refusal?: number | string;
  /** It is spoken to over TLS. */
  readonly tls?: Certificates;
}

/** An HTTP proxy on the loopback interface: absolute forms for http, CONNECT for https. */
export class ProxyServer implements AsyncDisposable {
  /** Request lines as they came, with the Host header. */
  readonly seen: string[] = [];
  /** False: nobody's login is right. */
  isOpen = true;
  readonly #options: ProxyServerOptions;
  readonly #server: Server;
  readonly #tunnels = new Set<Duplex>();

  private constructor(options: ProxyServerOptions) {
    this.#options = options;
    const { tls } = options;
    this.#server = tls === undefined ? createServer() : createTlsServer({ key: tls.key, cert: tls.cert });
    this.#server.on("request", (incoming, outgoing) => this.#forward(incoming, outgoing));
    this.#server.on("connect", (incoming, socket) => this.#tunnel(incoming, socket));
  }

  static async start(options: ProxyServerOptions): Promise<ProxyServer> {
    const proxy = new ProxyServer(options);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  /** `127.0.0.1:<port>`. */
  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  #forward(incoming: IncomingMessage, outgoing: ServerResponse): void {
    this.#note(incoming);
    if (!this.#isLetIn(incoming)) return void outgoing.writeHead(407).end();
    const { "proxy-authorization": _, ...headers } = incoming.headers;
    const url = new URL(incoming.url ?? "");
    const { port } = this.#options;
    const onwards = request({
      port,
      host: "127.0.0.1",
      method: incoming.method,
      path: url.pathname + url.search,
      headers,
    });
    onwards.on("response", (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    onwards.on("error", () => outgoing.writeHead(502).end());
    onwards.end();
  }

  #tunnel(incoming: IncomingMessage, socket: Duplex): void {
    this.#note(incoming);
    this.#keep(socket);
    const { refusal, port } = this.#options;
    if (!this.#isLetIn(incoming)) return void socket.end("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
    if (typeof refusal === "string") return void socket.end(refusal);
    if (refusal !== undefined) return void socket.end(`HTTP/1.1 ${refusal} No\r\nContent-Length: 0\r\n\r\n`);
    const onwards = connect(port, "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
      onwards.pipe(socket).pipe(onwards);
    });
    this.#keep(onwards);
  }

  #note({ method, url, headers }: IncomingMessage): void {
    this.seen.push(`${method} ${url} ${headers.host}`);
  }

  #isLetIn({ headers }: IncomingMessage): boolean {
    const { login } = this.#options;
    if (!this.isOpen) return false;
    return login === undefined || headers["proxy-authorization"] === `Basic ${btoa(login)}`;
  }

  #keep(socket: Duplex): void {
    this.#tunnels.add(socket);
    socket.on("error", () => undefined).on("close", () => this.#tunnels.delete(socket));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#tunnels) socket.destroy();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
