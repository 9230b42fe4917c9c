import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Certificates } from "../registry/index.ts";

/** A request as it came. */
export interface SeenRequest {
  readonly method: string;
  /** Path and query, byte for byte. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** What is answered; 200 with nothing if all is left out. `cut` ends the connection after the body's bytes. */
export interface ScriptedAnswer {
  readonly status?: number;
  readonly headers?: Record<string, string | string[]>;
  readonly body?: string | Buffer;
  readonly cut?: boolean;
}

/** A loopback http(s) server that answers as a test says, and remembers what it was asked. */
export class ScriptedServer implements AsyncDisposable {
  readonly seen: SeenRequest[] = [];
  readonly #server: Server;
  readonly #scheme: string;

  private constructor(answer: (request: SeenRequest) => ScriptedAnswer, tls: Certificates | undefined) {
    this.#scheme = tls === undefined ? "http" : "https";
    this.#server = tls === undefined ? createServer() : createTlsServer({ key: tls.key, cert: tls.cert });
    this.#server.on("request", async (incoming, outgoing) => {
      let body = "";
      for await (const chunk of incoming.setEncoding("utf8")) body += chunk;
      const request = { method: incoming.method ?? "", url: incoming.url ?? "", headers: incoming.headers, body };
      this.seen.push(request);
      const reply = answer(request);
      const { status = 200, headers = {} } = reply;
      if (reply.cut) {
        outgoing.writeHead(status, headers);
        outgoing.write(reply.body ?? "", () => outgoing.socket?.destroySoon());
      } else {
        outgoing.writeHead(status, { "content-length": Buffer.byteLength(reply.body ?? ""), ...headers });
        outgoing.end(request.method === "HEAD" ? undefined : reply.body);
      }
    });
  }

  static async start(
    answer: (request: SeenRequest) => ScriptedAnswer,
    tls?: Certificates,
    address = "127.0.0.1",
  ): Promise<ScriptedServer> {
    const server = new ScriptedServer(answer, tls);
    await new Promise<void>((resolve) => server.#server.listen(0, address, resolve));
    return server;
  }

  /** `127.0.0.1:<port>`. */
  get host(): string {
    const { address, port } = this.#server.address() as AddressInfo;
    return `${address}:${port}`;
  }

  get url(): string {
    return `${this.#scheme}://${this.host}`;
  }

  /** Method, path and Authorization of all requests so far, one line each. */
  get lines(): string[] {
    return this.seen.map(({ method, url, headers }) => [method, url, headers.authorization ?? "-"].join(" "));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
