import net from "node:net";
import tls from "node:tls";
import type { Clock } from "../../base/index.ts";
import type { TlsTrust } from "./http-types.ts";
import { hostLabel, type Origin } from "./target.ts";
import { TransportError, transportErrorFromSocket } from "./transport-error.ts";

/** What a connection is made of. */
export interface SocketOptions {
  readonly origin: Origin;
  readonly trust: TlsTrust;
  /** Roots to verify against; undefined means the built-in ones. */
  readonly secureContext: tls.SecureContext | undefined;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal | undefined;
  /** The memory that the next read may fill; asked for after each read. */
  readonly nextBuffer: () => Uint8Array;
  /** Called with the count of bytes that the last buffer got; false makes the socket rest until it is resumed. */
  readonly onBytes: (count: number) => boolean;
}

/** Connects, over TLS for https. Rejects with a `TransportError` or the signal's reason. */
export function openSocket(options: SocketOptions): Promise<net.Socket> {
  const { origin, clock, signal } = options;
  const label = hostLabel(origin);
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const socket = origin.scheme === "https" ? connectTls(options) : net.connect(connectOptions(options));
    const settle = (reason?: unknown) => {
      cancelTimer();
      signal?.removeEventListener("abort", onAbort);
      socket.off("error", onError).off("close", onClose).off(readyEvent, onReady);
      if (reason === undefined) return resolve(socket);
      socket.destroy();
      reject(reason);
    };
    const onReady = () => settle();
    const onError = (error: Error) => settle(transportErrorFromSocket(error, label));
    const onClose = () => settle(new TransportError("cut", label, "the connection was cut"));
    const onAbort = () => settle(signal?.reason);
    const onTimeout = () => settle(new TransportError("timeout", label, "no connection in time"));
    const readyEvent = origin.scheme === "https" ? "secureConnect" : "connect";
    const cancelTimer = clock.after(options.timeoutMs, onTimeout);
    signal?.addEventListener("abort", onAbort, { once: true });
    // Without any listener an error that comes late, or between two owners, would end the process.
    socket.on("error", ignoreLateError);
    socket.on("error", onError).on("close", onClose).on(readyEvent, onReady);
  });
}

function connectOptions(options: SocketOptions): net.TcpNetConnectOpts {
  return {
    host: options.origin.host.replace(/^\[(.*)\]$/, "$1"),
    port: options.origin.port,
    noDelay: true,
    onread: { buffer: options.nextBuffer, callback: options.onBytes },
  };
}

function connectTls(options: SocketOptions): net.Socket {
  const base = connectOptions(options);
  const host = base.host ?? "";
  return tls.connect({
    ...base,
    ALPNProtocols: ["http/1.1"],
    rejectUnauthorized: options.trust === "verified",
    ...(net.isIP(host) === 0 ? { servername: host } : {}),
    ...(options.secureContext === undefined ? {} : { secureContext: options.secureContext }),
  });
}

function ignoreLateError(): void {
  // Whoever uses the socket learns the same from its own listeners.
}
