import { STATUS_CODES } from "node:http";
import type { Clock } from "../base/index.ts";
import { headerOf } from "./http/http-message.ts";
import type { HttpResponse } from "./http/http-types.ts";
import { hostLabel } from "./http/target.ts";

/** Who gave an answer that is none: the registry, the server of its tokens, or whom it redirected to. */
export type AnsweringRole = "registry" | "token server" | "redirect";

/** A whole answer with a status other than what was asked for. */
export class StatusError extends Error {
  readonly status: number;
  readonly role: AnsweringRole;
  /** Who answered, as people write it. */
  readonly host: string;
  /** How long the server wants to be left alone, if it said so; milliseconds. */
  readonly retryAfterMs: number | undefined;
  /** True where plain http was sent to a port that speaks TLS. */
  readonly wantsTls: boolean;

  constructor(message: string, details: Pick<StatusError, "status" | "role" | "host" | "retryAfterMs" | "wantsTls">) {
    super(message);
    this.name = "StatusError";
    this.status = details.status;
    this.role = details.role;
    this.host = details.host;
    this.retryAfterMs = details.retryAfterMs;
    this.wantsTls = details.wantsTls;
  }

  /**
   * True where a later try may be answered otherwise. A redirect is good for one request: whatever its target refuses
   * may come from a signature that ran out, so the registry is asked for a new one.
   */
  get mayPass(): boolean {
    return this.status >= 500 || this.status === 408 || this.status === 429 || this.role === "redirect";
  }

  /** True where what was shown may have grown old: registries say that in many ways. */
  get mayMeanStale(): boolean {
    return this.role !== "redirect" && this.status >= 400 && this.status < 500 && !clearStatuses.has(this.status);
  }

  /** True where other credentials may be let in (contract.md: a 404 counts as a refusal). */
  get isRefusal(): boolean {
    if (this.role === "token server") return this.status === 400 || this.status === 401 || this.status === 403;
    return this.role === "registry" && (this.status === 401 || this.status === 403 || this.status === 404);
  }
}

// What no other credential would change.
const clearStatuses: ReadonlySet<number> = new Set([408, 416, 429]);
const maxErrorBodyBytes = 8192;
// What is worth telling comes at once; a connection that brings one byte at a time is not waited for.
const maxErrorBodyMs = 10_000;

/** Reads what an answer says of itself: status, and the registry's error code and message; of the body nothing else. */
export async function statusErrorFrom(response: HttpResponse, role: AnsweringRole, clock: Clock): Promise<StatusError> {
  const { status, headers, target } = response;
  const body = await response.body.readAtMost(maxErrorBodyBytes, maxErrorBodyMs).catch(() => undefined);
  const text = body?.bytes.toString("utf8") ?? "";
  const detail = errorDetail(text);
  const name = STATUS_CODES[status];
  const message = `${status}${name === undefined ? "" : ` ${name}`}${detail === undefined ? "" : ` (${detail})`}`;
  return new StatusError(message, {
    status,
    role,
    host: hostLabel(target),
    retryAfterMs: retryAfterOf(headerOf(headers, "retry-after"), clock),
    wantsTls: target.scheme === "http" && status === 400 && /\bHTTPS\b/.test(text),
  });
}

/** The time that a Retry-After asks for: seconds or a date (RFC 9110, 10.2.3). */
function retryAfterOf(value: string | undefined, clock: Clock): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - clock.now());
}

/** `CODE: message` of a registry's error (distribution-spec 1.1, Error Codes) or an OAuth2 one, made fit to be shown. */
function errorDetail(body: string): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    // A page of a proxy, or a body cut at the cap: the status has to do.
    return undefined;
  }
  const { errors, error, error_description: description, details } = asRecord(value);
  const first = Array.isArray(errors) ? asRecord(errors[0]) : { code: error, message: description ?? details };
  const code = typeof first["code"] === "string" ? clean(first["code"], 64) : "";
  const message = typeof first["message"] === "string" ? clean(first["message"], 200) : "";
  return [code, message].filter((part) => part !== "").join(": ") || undefined;
}

function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

/** One plain line: no markup, no control characters, no queries of URLs (they carry signatures). */
function clean(text: string, maxLength: number): string {
  const plain = text
    .replace(/<[^>]*>?/g, " ")
    .replace(/(https?:\/\/[^\s?"']*)\?[^\s"']*/gi, "$1")
    .replace(/[\s\p{Cc}]+/gu, " ")
    .trim();
  return plain.length > maxLength ? `${plain.slice(0, maxLength - 1)}…` : plain;
}
