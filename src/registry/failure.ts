import { type Clock, DriverError, type ErrorKind } from "../base/index.ts";
import type { Repository } from "./endpoint.ts";
import { TransportError, type TransportFault } from "./http/transport-error.ts";
import { StatusError } from "./status-error.ts";

/** What was being done, for messages. */
export interface Purpose {
  /** `fetch the manifest of`. */
  readonly action: string;
  /** The object: a reference, or a blob in a repository. */
  readonly subject: string;
  readonly repository: Repository;
  /** The host that was asked, as people write it. */
  readonly host: string;
  /** Where the credentials came from that were shown or withheld, in order. */
  readonly tried: readonly string[];
}

const maxSubjectLength = 400;

/** A transport or status error as the driver's own; any other value is returned as it is. */
export function failureFrom(reason: unknown, purpose: Purpose, clock: Clock): unknown {
  if (reason instanceof StatusError) return statusFailure(reason, purpose, clock);
  if (reason instanceof TransportError) return transportFailure(reason, purpose);
  return reason;
}

/** `cannot fetch the manifest of R from H`. */
export function opening({ action, subject, host }: Purpose): string {
  return `cannot ${action} ${shorten(subject, maxSubjectLength)} from ${host}`;
}

function statusFailure(error: StatusError, purpose: Purpose, clock: Clock): DriverError {
  const who =
    error.role === "registry"
      ? ""
      : error.role === "redirect"
        ? `redirected to ${error.host}: `
        : `token server ${error.host}: `;
  const kind = kindOf(error);
  const tried = kind === "unavailable" ? "" : `; tried: ${purpose.tried.join(", ")}`;
  const message = `${opening(purpose)}: ${who}${error.message}${tried}; ${statusAdvice(error, kind, purpose, clock)}`;
  return new DriverError(kind, message, error);
}

function kindOf(error: StatusError): ErrorKind {
  if (!error.isRefusal) return "unavailable";
  if (error.status === 403) return "forbidden";
  return error.status === 404 ? "not-found" : "unauthenticated";
}

function statusAdvice(error: StatusError, kind: ErrorKind, { repository }: Purpose, clock: Clock): string {
  if (error.wantsTls && repository.transport === "http") return "drop oras.options.plainhttp: it speaks https";
  switch (kind) {
    case "unauthenticated":
      return "give credentials that it accepts by nodePublishSecretRef or --docker-config";
    case "forbidden":
      return "these credentials may not read this repository: give others, or have them allowed";
    case "not-found":
      return "check repository and tag, or digest (some registries say this of what the credentials may not see)";
    default:
      return error.retryAfterMs === undefined || error.retryAfterMs < worthTellingMs
        ? "the driver tries again with the next call"
        : `it asks to be left alone until ${timeOfDay(clock.now() + error.retryAfterMs)}`;
  }
}

// A shorter wait is over before anybody has read of it, and would make the message another one each time.
const worthTellingMs = 10_000;

/** Rounded up to the minute, so that the same wait is told in the same words. */
function timeOfDay(atMs: number): string {
  return `${new Date(Math.ceil(atMs / 60_000) * 60_000).toISOString().slice(11, 16)} UTC`;
}

function transportFailure(error: TransportError, purpose: Purpose): DriverError {
  const who = error.host === purpose.host ? "" : `${error.host}: `;
  return new DriverError(
    "unavailable",
    `${opening(purpose)}: ${who}${error.message}; ${transportAdvice(error, purpose)}`,
    error,
  );
}

const reach = "check that this node can reach it";
const advice: Readonly<Record<TransportFault, string>> = {
  name: "check the host in the reference, and the node's DNS",
  busy: "the driver tries again with the next call",
  connect: reach,
  timeout: reach,
  stalled: reach,
  cut: reach,
  certificate: 'give its CA by --ca-file, or set oras.options.insecure: "true"',
  "plain-http": 'if it speaks plain http, set oras.options.plainhttp: "true"',
  tls: "check its TLS versions and ciphers",
  protocol: "check that a registry answers there",
  redirect: "check the registry's redirects",
  proxy: "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY of the driver, and what the proxy allows",
  challenge: "check the registry's authentication",
  token: "check the registry's token server",
};

function transportAdvice(error: TransportError, { repository }: Purpose): string {
  if (error.fault === "protocol" && repository.transport === "http")
    return `if it speaks https, drop oras.options.plainhttp`;
  return advice[error.fault];
}

function shorten(text: string, maxLength: number): string {
  if (text.length <= maxLength) return text;
  const half = Math.floor((maxLength - 1) / 2);
  return `${text.slice(0, half)}…${text.slice(-half)}`;
}
