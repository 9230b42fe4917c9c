import { createServer, type Http2Server } from "node:http2";
import type { Socket } from "node:net";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { type Clock, describeError, type Logger, sleep } from "../base/index.ts";
import { createGrpcListener } from "./grpc-listener.ts";
import { InFlight } from "./in-flight.ts";
import { endInOwnTurn } from "./session-end.ts";
import { listenOnSocketFile, type SocketFile } from "./socket-file.ts";

/** A gRPC server on a unix socket. */
export interface GrpcServerOptions {
  /** Absolute, 107 bytes at most. */
  readonly socketPath: string;
  readonly routes: (router: ConnectRouter) => void;
  readonly clock: Clock;
  readonly logger: Logger;
  /** How long a process that answers on the socket already is waited for; default 5 s. */
  readonly takeOverWaitMs?: number;
  /** How long `close` lets calls in flight go on; default 10 s. */
  readonly drainMs?: number;
  /** Gives up opening. */
  readonly signal?: AbortSignal | undefined;
}

const DEFAULT_TAKE_OVER_WAIT_MS = 5000;
const DEFAULT_DRAIN_MS = 10_000;
/** The end of the drain time in which calls that are still in flight are answered UNAVAILABLE. */
const ANSWER_MS = 500;
/** What the last bytes of an answer have to leave the process. */
const FLUSH_MS = 250;

/** What one connection may keep going: kubelet has one call on each. More would be memory, and the driver has little. */
const limits = {
  settings: { maxConcurrentStreams: 250 },
  // Streams that are opened and reset at once count for nothing above, and cost the same.
  streamResetBurst: 250,
  streamResetRate: 25,
};

/** Serves gRPC on a unix socket from `open` to `close`; no peer can end it in between. */
export class GrpcServer {
  readonly #server: Http2Server;
  readonly #socketFile: SocketFile;
  readonly #sockets: ReadonlySet<Socket>;
  readonly #calls: InFlight;
  readonly #stopping: AbortController;
  readonly #clock: Clock;
  readonly #drainMs: number;
  #closing: Promise<void> | undefined;

  private constructor(parts: GrpcServerParts) {
    this.#server = parts.server;
    this.#socketFile = parts.socketFile;
    this.#sockets = parts.sockets;
    this.#calls = parts.calls;
    this.#stopping = parts.stopping;
    this.#clock = parts.clock;
    this.#drainMs = parts.drainMs;
  }

  /** Listens; throws "refused" if something else is at the socket's path and stays there. */
  static async open(options: GrpcServerOptions): Promise<GrpcServer> {
    const { clock, logger, routes, socketPath } = options;
    const calls = new InFlight();
    const stopping = new AbortController();
    const server = createServer(limits);
    server.on("stream", createGrpcListener({ routes, logger, calls, stopping: stopping.signal }));
    const sockets = followConnections(server, logger);
    const socketFile = await listenOnSocketFile(server, {
      path: socketPath,
      waitMs: options.takeOverWaitMs ?? DEFAULT_TAKE_OVER_WAIT_MS,
      clock,
      logger,
      signal: options.signal,
    }).catch((reason: unknown) => {
      server.close();
      throw reason;
    });
    server.on("error", (error) =>
      logger.error("the socket fails to take connections", { error: describeError(error) }),
    );
    const drainMs = options.drainMs ?? DEFAULT_DRAIN_MS;
    return new GrpcServer({ server, socketFile, sockets, calls, stopping, clock, drainMs });
  }

  /** The calls that are not answered yet. */
  get callsInFlight(): number {
    return this.#calls.count;
  }

  /** Where it listens. */
  get socketPath(): string {
    return this.#socketFile.path;
  }

  /** Whether the file at that path is still this server's: it may have been deleted, or replaced by another process. */
  ownsSocketFile(): boolean {
    return this.#socketFile.isOurs();
  }

  /**
   * Takes no more connections and calls, lets those in flight finish within the drain time, answers the rest
   * UNAVAILABLE (kubelet calls again), and closes every connection. The socket file goes first, if it is still ours.
   */
  close(): Promise<void> {
    this.#closing ??= this.#drain();
    return this.#closing;
  }

  async #drain(): Promise<void> {
    await this.#socketFile.remove();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    const stopCalls = () => this.#stopping.abort(new ConnectError("the driver is stopping", Code.Unavailable));
    const cancelStop = this.#clock.after(Math.max(0, this.#drainMs - ANSWER_MS), stopCalls);
    await Promise.race([this.#calls.idle(), sleep(this.#clock, this.#drainMs)]);
    cancelStop();
    await Promise.race([closed, sleep(this.#clock, FLUSH_MS)]);
    // A peer that ignores GOAWAY, or never said a word, would keep its connection for ever.
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

interface GrpcServerParts {
  readonly server: Http2Server;
  readonly socketFile: SocketFile;
  readonly sockets: ReadonlySet<Socket>;
  readonly calls: InFlight;
  readonly stopping: AbortController;
  readonly clock: Clock;
  readonly drainMs: number;
}

/** The connections that are open. Their faults are the peer's: even a correct grpc-go client's goodbye counts as one. */
function followConnections(server: Http2Server, logger: Logger): ReadonlySet<Socket> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.on("session", endInOwnTurn);
  server.on("sessionError", (error) => logger.debug("a connection broke", { error: describeError(error) }));
  return sockets;
}
