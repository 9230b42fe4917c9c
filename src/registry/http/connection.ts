import type { Socket } from "node:net";
import type { SecureContext } from "node:tls";
import { afterTurn, type Clock, Deadline, freeBuffers } from "../../base/index.ts";
import { Exchange } from "./exchange.ts";
import { formatRequestHead } from "./http-message.ts";
import type { HttpLimits, HttpRequest, TlsTrust } from "./http-types.ts";
import { ReadBuffer } from "./read-buffer.ts";
import { openSocket, type SocketOptions } from "./socket.ts";
import { hostLabel, type Origin } from "./target.ts";
import { TransportError, transportErrorFromSocket } from "./transport-error.ts";

/** How to connect, and to whom. */
export interface ConnectionOptions {
  readonly origin: Origin;
  readonly trust: TlsTrust;
  readonly secureContext: SecureContext | undefined;
  /** What the origin is reached through, and the roots that a proxy over TLS is verified against. */
  readonly proxy?: SocketOptions["proxy"];
  readonly lookUp: SocketOptions["lookUp"];
  readonly clock: Clock;
  readonly limits: HttpLimits;
}

// TLS hands over one record of 16 KiB at a time (RFC 8446, 5.1), whatever the buffer's size; Deno up to 64 KiB.
const tlsReadBytes = 64 * 1024;

/** One socket that carries one exchange at a time. All reads go into one buffer, used again and again. */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #usesTls: boolean;
  readonly #buffer: ReadBuffer;
  /** What used the last exchange's bytes has not said that it is done, and will not. */
  #isBufferLent = false;
  #isDeliveryDue = false;
  #socket: Socket | undefined;
  #exchange: Exchange | undefined;
  #isOpen = true;
  /** Of its exchange, or for its next one. */
  readonly #deadline: Deadline;
  #onIdleEnd: () => void = () => undefined;

  private constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#usesTls = options.origin.scheme === "https" || options.proxy?.proxy.origin.scheme === "https";
    const sizeBytes = options.limits.readBufferBytes;
    this.#buffer = new ReadBuffer({ sizeBytes, readBytes: this.#usesTls ? tlsReadBytes : undefined });
    this.#deadline = new Deadline(options.clock);
  }

  /** Connects; rejects with a `TransportError` or the signal's reason. */
  static async open(options: ConnectionOptions, request: HttpRequest): Promise<Connection> {
    const connection = new Connection(options);
    const { limits } = options;
    const socket = await openSocket({
      ...options,
      timeoutMs: Math.min(
        limits.connectTimeoutMs,
        request.patienceMs ?? Number.POSITIVE_INFINITY,
        request.connectTimeoutMs ?? Number.POSITIVE_INFINITY,
      ),
      signal: request.signal,
      nextBuffer: () => connection.#nextBuffer(),
      onBytes: (count) => connection.#onBytes(count),
    });
    connection.#attach(socket);
    return connection;
  }

  /** Whether it can serve a request: not where bytes came that no request asked for. */
  isUsable(): boolean {
    if (this.#exchange === undefined) this.#deliver();
    return this.#isOpen;
  }

  /** Nobody uses it from now on: it ends, and tells so, after some time, or when its peer ends it. */
  rest(longestMs: number, onEnd: () => void): void {
    this.#onIdleEnd = onEnd;
    this.#deadline.set(longestMs, () => {
      this.close();
      onEnd();
    });
  }

  /** Sends a request; `onOver` is called once, when its answer is read or has failed. */
  send(request: HttpRequest, headers: ReadonlyMap<string, string>, onOver: () => void): Exchange {
    const socket = this.#socket;
    if (socket === undefined || !this.isUsable()) throw this.#cut();
    const head = this.#headOf(request, headers);
    socket.ref();
    const exchange = new Exchange({
      request,
      clock: this.#options.clock,
      deadline: this.#deadline,
      limits: this.#options.limits,
      resume: () => socket.resume(),
      onOver: (isReusable) => {
        if (this.#exchange?.isHolding === true) this.#isBufferLent = true;
        this.#exchange = undefined;
        if (isReusable) socket.unref();
        else this.close();
        if (socket.closed) this.#freeBuffers();
        onOver();
      },
    });
    this.#exchange = exchange;
    // The path's characters are bytes (target.ts), a form is ASCII.
    socket.write(head + (request.body ?? ""), "latin1");
    return exchange;
  }

  /** Ends the connection, and what it carries. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#socket?.destroy();
    this.#exchange?.fail(this.#cut());
    this.#deadline.end();
  }

  /** A proxy is told whose path it is, and who asks; one that only passes TLS on has learned that before. */
  #headOf({ method, target }: HttpRequest, headers: ReadonlyMap<string, string>): string {
    const proxy = target.scheme === "http" ? this.#options.proxy?.proxy : undefined;
    if (proxy === undefined) return formatRequestHead(method, target.path, headers);
    const all = new Map(headers);
    if (proxy.authorization !== undefined) all.set("Proxy-Authorization", proxy.authorization);
    return formatRequestHead(method, `http://${hostLabel(target)}${target.path}`, all);
  }

  #attach(socket: Socket): void {
    this.#socket = socket;
    if (!this.#isOpen) socket.destroy();
    socket.on("error", (error) => this.#end(transportErrorFromSocket(error, hostLabel(this.#options.origin))));
    // What was read before the peer closed may still wait for its sink: the exchange knows.
    const onClosed = () => {
      this.#deliver();
      if (this.#exchange === undefined) this.#end(this.#cut());
      else this.#exchange.peerClosed();
    };
    socket.on("end", onClosed).on("close", onClosed);
    socket.on("close", () => this.#freeBuffers());
  }

  #end(reason: TransportError): void {
    this.#deliver();
    const wasIdle = this.#isOpen && this.#exchange === undefined;
    this.#isOpen = false;
    this.#socket?.destroy();
    this.#exchange?.fail(reason);
    this.#deadline.end();
    if (wasIdle) this.#onIdleEnd();
  }

  /** The larger the reads of a large body, the fewer steps it takes; TLS reads no more at a time, however much it may. */
  #nextBuffer(): Buffer {
    const exchange = this.#exchange;
    const { largeBodyBytes, largeReadBytes } = this.#options.limits;
    const isLarge = !this.#usesTls && (exchange?.bodyLength ?? 0) >= largeBodyBytes;
    return this.#buffer.next(exchange?.isHolding === true, isLarge ? largeReadBytes : undefined);
  }

  /** Short reads are handed on together, as many as come in one turn: each step costs as much for few bytes as for many. */
  #onBytes(count: number): boolean {
    this.#buffer.filled(count);
    if (this.#buffer.isFull) return this.#deliver();
    if (this.#isDeliveryDue) return true;
    this.#isDeliveryDue = true;
    afterTurn(() => {
      this.#isDeliveryDue = false;
      if (!this.#deliver()) this.#socket?.pause();
    });
    return true;
  }

  /** Hands on what was read; false: let the socket rest. */
  #deliver(): boolean {
    const bytes = this.#buffer.take();
    if (bytes === undefined) return true;
    if (this.#exchange !== undefined) return this.#exchange.take(bytes);
    // Bytes that no request asked for must never be read as the answer to the next one.
    this.#end(this.#cut());
    return true;
  }

  /**
   * Nothing is read any more. What a sink may still use is left to the garbage collection. TLS goes on to put all that it
   * has decrypted into the last buffer, in the same turn: without one it would try for ever.
   */
  #freeBuffers(): void {
    if (this.#exchange !== undefined || this.#isBufferLent) return;
    afterTurn(() => freeBuffers(this.#buffer.release()));
  }

  #cut(): TransportError {
    return new TransportError("cut", hostLabel(this.#options.origin), "the connection was cut");
  }
}
