import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import type { Certificates } from "../registry/index.ts";

/** One connection as the server sees it. */
export class Peer {
  readonly socket: Socket;
  /** 0 for the first connection, 1 for the next. */
  readonly number: number;
  readonly closed: Promise<void>;
  #received = "";
  #wake: () => void = () => undefined;

  constructor(socket: Socket, number: number) {
    this.socket = socket;
    this.number = number;
    this.closed = new Promise((resolve) => socket.once("close", () => resolve()));
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => {
      this.#received += chunk.toString("latin1");
      this.#wake();
    });
  }

  /** The text of the next request's head, without the empty line. Waits for ever when the client leaves. */
  async readRequest(): Promise<string> {
    for (;;) {
      const end = this.#received.indexOf("\r\n\r\n");
      if (end >= 0) {
        const head = this.#received.slice(0, end);
        this.#received = this.#received.slice(end + 4);
        return head;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Reads a request and sends these bytes. */
  async answer(bytes: string | Buffer): Promise<string> {
    const request = await this.readRequest();
    this.socket.write(bytes, "latin1");
    return request;
  }
}

/** A loopback server that says exactly what a test's script says, well-formed or not. */
export class RawServer implements AsyncDisposable {
  readonly #server: Server;
  readonly peers: Peer[] = [];
  readonly #scripts: Promise<void>[] = [];

  private constructor(script: (peer: Peer) => Promise<void> | void, tls: Certificates | undefined) {
    const accept = (socket: Socket) => {
      const peer = new Peer(socket, this.peers.length);
      this.peers.push(peer);
      this.#scripts.push(Promise.resolve(script(peer)));
    };
    this.#server = tls === undefined ? createServer(accept) : createTlsServer({ key: tls.key, cert: tls.cert }, accept);
    this.#server.on("tlsClientError", () => undefined);
  }

  /** Listens on a free port of 127.0.0.1; `script` runs once a connection. */
  static async start(script: (peer: Peer) => Promise<void> | void, tls?: Certificates): Promise<RawServer> {
    const server = new RawServer(script, tls);
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { socket } of this.peers) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
