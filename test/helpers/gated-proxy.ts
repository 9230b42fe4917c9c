import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** One connection through the proxy. */
interface Passage {
  readonly client: Socket;
  readonly upstream: Socket;
  /** The head of the last request on it. */
  head: string;
  /** Bytes of the answer to it that were handed on. */
  passed: number;
}

/** Hands connections on to a registry, notes what is asked for, and lets so much of some answers through and no more. */
export class GatedProxy implements AsyncDisposable {
  /** The heads of all requests, in order. */
  readonly requests: string[] = [];
  readonly host: string;
  readonly #server: Server;
  readonly #passages = new Set<Passage>();
  readonly #limits = new Map<string, number>();

  private constructor(server: Server) {
    this.#server = server;
    this.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  /** A proxy for the server at `host:port`. */
  static async start(upstream: string): Promise<GatedProxy> {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const proxy = new GatedProxy(server);
    server.on("connection", (client: Socket) => proxy.#pass(client, Number(upstream.split(":").at(-1))));
    return proxy;
  }

  /** Of answers to requests whose line has this path, so many bytes are let through, head included. */
  holdAfter(path: string, bytes: number): void {
    this.#limits.set(path, bytes);
  }

  /** How many connections are open whose last request was for this path. */
  openFor(path: string): number {
    return this.#of(path).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { client, upstream } of this.#passages) for (const socket of [client, upstream]) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #of(path: string): Passage[] {
    return [...this.#passages].filter(({ head }) => head.includes(path));
  }

  #pass(client: Socket, port: number): void {
    const upstream = connect(port, "127.0.0.1");
    const passage: Passage = { client, upstream, head: "", passed: 0 };
    this.#passages.add(passage);
    client.on("data", (chunk: Buffer) => {
      // No request of these is larger than a packet, or has a body.
      passage.head = chunk.toString("latin1");
      passage.passed = 0;
      this.requests.push(passage.head);
      upstream.write(chunk);
    });
    upstream.on("data", (chunk: Buffer) => {
      const [, limit = Number.POSITIVE_INFINITY] =
        [...this.#limits].find(([path]) => passage.head.includes(path)) ?? [];
      const part = chunk.subarray(0, Math.max(0, limit - passage.passed));
      passage.passed += part.length;
      client.write(part);
    });
    const end = () => {
      this.#passages.delete(passage);
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) socket.on("close", end).on("error", end);
  }
}
