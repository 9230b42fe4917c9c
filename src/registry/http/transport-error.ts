import { errnoOf } from "../../base/index.ts";

/** Why no whole HTTP answer came. */
export type TransportFault =
  | "name"
  | "busy"
  | "connect"
  | "timeout"
  | "certificate"
  | "plain-http"
  | "tls"
  | "stalled"
  | "cut"
  | "protocol"
  | "redirect"
  | "challenge"
  | "proxy"
  | "token";

// What another try cannot change: the host would answer the same again.
const lasting: ReadonlySet<TransportFault> = new Set([
  "certificate",
  "plain-http",
  "redirect",
  "challenge",
  "proxy",
  "token",
]);

/** No whole answer from a host. The message is what happened, the same each time: no addresses, ports or durations. */
export class TransportError extends Error {
  readonly fault: TransportFault;
  /** Who was spoken to, as people write it. */
  readonly host: string;

  constructor(fault: TransportFault, host: string, message: string, cause?: unknown) {
    super(message, { cause });
    this.name = "TransportError";
    this.fault = fault;
    this.host = host;
  }

  /** False where the same request would fail the same way. */
  get mayPass(): boolean {
    return !lasting.has(this.fault);
  }
}

const messages: Readonly<Record<string, readonly [TransportFault, string]>> = {
  ENOTFOUND: ["name", "no such host"],
  EAI_AGAIN: ["name", "the host's name cannot be looked up"],
  ECONNREFUSED: ["connect", "connection refused"],
  EHOSTUNREACH: ["connect", "no route to the host"],
  ENETUNREACH: ["connect", "the network is unreachable"],
  ETIMEDOUT: ["timeout", "no connection in time"],
  ECONNRESET: ["cut", "the connection was cut"],
  EPIPE: ["cut", "the connection was cut"],
  CERT_HAS_EXPIRED: ["certificate", "its certificate has expired"],
  CERT_NOT_YET_VALID: ["certificate", "its certificate is not valid yet (is the node's clock right?)"],
  ERR_TLS_CERT_ALTNAME_INVALID: ["certificate", "its certificate is for another host"],
  ERR_SSL_WRONG_VERSION_NUMBER: ["plain-http", "it does not speak TLS"],
  ERR_SSL_PACKET_LENGTH_TOO_LONG: ["plain-http", "it does not speak TLS"],
  ERR_SSL_HTTP_REQUEST: ["plain-http", "it does not speak TLS"],
};

/** What a socket's error means. */
export function transportErrorFromSocket(reason: unknown, host: string): TransportError {
  const code = errnoOf(reason) ?? "";
  const known = messages[code];
  if (known !== undefined) return new TransportError(known[0], host, known[1], reason);
  const text = reason instanceof Error ? reason.message : String(reason);
  if (/^CERT_|^UNABLE_TO_|SELF_SIGNED|^INVALID_(CA|PURPOSE)$/.test(code) || /certificate/i.test(text)) {
    return new TransportError("certificate", host, `its certificate is not trusted${code && ` (${code})`}`, reason);
  }
  if (/SSL|TLS|EPROTO/.test(code)) return new TransportError("tls", host, `TLS failed (${code})`, reason);
  return new TransportError("connect", host, `the connection failed${code && ` (${code})`}`, reason);
}
