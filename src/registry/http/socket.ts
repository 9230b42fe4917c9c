import net from "node:net";
import tls from "node:tls";
import type { Clock } from "../../base/index.ts";
import type { TlsTrust } from "./http-types.ts";
import type { HttpProxy } from "./proxy.ts";
import { hostLabel, type Origin } from "./target.ts";
import { TransportError, transportErrorFromSocket } from "./transport-error.ts";
import { openTunnel, proxyError } from "./tunnel.ts";

/** What a connection is made of. */
export interface SocketOptions {
  readonly origin: Origin;
  readonly trust: TlsTrust;
  /** Roots to verify against; undefined means the built-in ones. */
  readonly secureContext: tls.SecureContext | undefined;
  /** What the origin is reached through, and the roots that a proxy over TLS is verified against. */
  readonly proxy?: { readonly proxy: HttpProxy; readonly secureContext: tls.SecureContext | undefined } | undefined;
  /** Finds hosts by their names. */
  readonly lookUp: net.LookupFunction;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal | undefined;
  /** The memory that the next read may fill; asked for after each read. */
  readonly nextBuffer: () => Uint8Array;
  /** Called with the count of bytes that the last buffer got; false makes the socket rest until it is resumed. */
  readonly onBytes: (count: number) => boolean;
}

/** Connects, over TLS for https, through a proxy if there is one. Rejects with a `TransportError` or the signal's reason. */
export async function openSocket(options: SocketOptions): Promise<net.Socket> {
  const { origin, proxy: way, clock, timeoutMs } = options;
  if (way === undefined) return await connected(options, connectTo(options, reading(options)));
  const { proxy, secureContext } = way;
  const { origin: place } = proxy;
  const startedMs = clock.monotonicMs();
  const toProxy: SocketOptions = { ...options, origin: place, trust: "verified", secureContext };
  const isTunnelled = origin.scheme === "https";
  const socket = await connected(toProxy, connectTo(toProxy, isTunnelled ? {} : reading(options))).catch((error) => {
    if (!(error instanceof TransportError)) throw error;
    throw proxyError(new TransportError(error.fault, hostLabel(origin), error.message, error.cause), proxy);
  });
  if (!isTunnelled) return socket;
  const left = () => ({ ...options, timeoutMs: Math.max(0, timeoutMs - (clock.monotonicMs() - startedMs)) });
  try {
    await openTunnel(socket, proxy, left());
    return feed(await connected(left(), connectTo(options, { socket })), options);
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** Waits until a socket is connected, and takes it down if it is not in time. */
function connected(options: SocketOptions, socket: net.Socket): Promise<net.Socket> {
  const { origin, clock, signal } = options;
  const label = hostLabel(origin);
  return new Promise((resolve, reject) => {
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
    // Without any listener an error that comes late, or between two owners, would end the process.
    socket.on("error", ignoreLateError);
    socket.on("error", onError).on("close", onClose).on(readyEvent, onReady);
    if (signal?.aborted) onAbort();
    else signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/** How a socket's bytes reach its owner: read into the owner's memory, or over a socket that is there. */
type Plumbing = Pick<net.TcpNetConnectOpts, "onread"> & { readonly socket?: net.Socket };

function reading({ nextBuffer, onBytes }: SocketOptions): Plumbing {
  return { onread: { buffer: nextBuffer, callback: onBytes } };
}

function connectTo({ origin, trust, secureContext, lookUp }: SocketOptions, plumbing: Plumbing): net.Socket {
  const host = origin.host.replace(/^\[(.*)\]$/, "$1");
  const base = { host, port: origin.port, noDelay: true, lookup: lookUp, ...plumbing };
  if (origin.scheme === "http") return net.connect(base);
  return tls.connect({
    ...base,
    ALPNProtocols: ["http/1.1"],
    rejectUnauthorized: trust === "verified",
    ...(net.isIP(host) === 0 ? { servername: host } : {}),
    ...(secureContext === undefined ? {} : { secureContext }),
  });
}

/** TLS over a socket that is there cannot read into given memory (node:tls): its bytes are copied into it. */
function feed(socket: net.Socket, { nextBuffer, onBytes }: SocketOptions): net.Socket {
  return socket.on("data", (chunk: Buffer) => {
    let mayGoOn = true;
    for (let rest = chunk; rest.length > 0; ) {
      const buffer = nextBuffer();
      const count = rest.copy(buffer);
      rest = rest.subarray(count);
      mayGoOn = onBytes(count);
    }
    if (!mayGoOn) socket.pause();
  });
}

function ignoreLateError(): void {
  // Whoever uses the socket learns the same from its own listeners.
}
