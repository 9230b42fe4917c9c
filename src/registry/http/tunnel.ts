import type net from "node:net";
import type { Clock } from "../../base/index.ts";
import { formatRequestHead, HttpSyntaxError, parseResponseHead } from "./http-message.ts";
import type { HttpProxy } from "./proxy.ts";
import { hostLabel, type Origin } from "./target.ts";
import { TransportError, transportErrorFromSocket } from "./transport-error.ts";

const maxHeadBytes = 64 * 1024;

/** Whom a tunnel is to lead to, and how long that may take. */
export interface TunnelOptions {
  readonly origin: Origin;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal | undefined;
}

/**
 * Asks a proxy, over a connection to it, for a tunnel to an origin (RFC 9110, 9.3.6). Afterwards what is written to the
 * socket reaches the origin. Rejects with a `TransportError` of the origin's, or the signal's reason; the socket is the
 * caller's to close then.
 */
export function openTunnel(socket: net.Socket, proxy: HttpProxy, options: TunnelOptions): Promise<void> {
  const { origin, clock, signal, timeoutMs } = options;
  const label = hostLabel(origin);
  return new Promise((resolve, reject) => {
    let head: Buffer = Buffer.alloc(0);
    const settle = (reason?: unknown) => {
      cancelTimer();
      signal?.removeEventListener("abort", onAbort);
      socket.off("data", onData).off("error", onError).off("close", onClose);
      socket.pause();
      if (reason === undefined) resolve();
      else reject(reason);
    };
    const onAbort = () => settle(signal?.reason);
    const onError = (error: Error) => settle(proxyError(transportErrorFromSocket(error, label), proxy));
    const onClose = () => settle(proxyError(new TransportError("cut", label, "the connection was cut"), proxy));
    const onTimeout = () => settle(proxyError(new TransportError("timeout", label, "no answer in time"), proxy));
    const onData = (chunk: Buffer) => {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf("\r\n\r\n");
      if (end < 0 && head.length <= maxHeadBytes) return;
      settle(refusalIn(head.toString("latin1", 0, Math.max(end, 0)), label, proxy));
    };
    const cancelTimer = clock.after(timeoutMs, onTimeout);
    if (signal?.aborted) return settle(signal.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    socket.on("data", onData).on("error", onError).on("close", onClose);
    socket.write(connectHead(origin, proxy), "latin1");
  });
}

/** A failure on the way to the proxy, told as one of what lies behind it. */
export function proxyError(error: TransportError, { origin }: HttpProxy): TransportError {
  return new TransportError(error.fault, error.host, `the proxy ${hostLabel(origin)}: ${error.message}`, error.cause);
}

function connectHead({ host, port }: Origin, { authorization }: HttpProxy): string {
  const authority = `${host}:${port}`;
  const headers = new Map([["Host", authority]]);
  if (authorization !== undefined) headers.set("Proxy-Authorization", authorization);
  return formatRequestHead("CONNECT", authority, headers);
}

/** Why there is no tunnel; undefined if there is one. */
function refusalIn(head: string, label: string, proxy: HttpProxy): TransportError | undefined {
  try {
    const { status } = parseResponseHead(head);
    if (status >= 200 && status < 300) return undefined;
    // What the proxy cannot reach now it may reach later; what it does not allow stays so.
    const fault = status >= 500 || status === 408 || status === 429 ? "connect" : "proxy";
    return proxyError(new TransportError(fault, label, `it answered CONNECT with ${status}`), proxy);
  } catch (error) {
    if (!(error instanceof HttpSyntaxError)) throw error;
    return proxyError(new TransportError("proxy", label, "it does not answer as HTTP proxies do"), proxy);
  }
}
