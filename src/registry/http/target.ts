import { TransportError } from "./transport-error.ts";

/** Who is spoken to: one pool of connections each. */
export interface Origin {
  readonly scheme: "http" | "https";
  /** Lower case; an IPv6 address keeps its brackets. */
  readonly host: string;
  readonly port: number;
}

/** An origin and what is asked of it. */
export interface Target extends Origin {
  /** Path and query, sent byte for byte: signatures of object stores cover every escape and slash. */
  readonly path: string;
}

/** One text per origin, for maps. */
export function originKey(origin: Origin): string {
  return `${origin.scheme}://${origin.host}:${origin.port}`;
}

/** An origin as people write it, for messages and the Host header: the port only where it is not the scheme's own. */
export function hostLabel(origin: Origin): string {
  return origin.port === defaultPort(origin.scheme) ? origin.host : `${origin.host}:${origin.port}`;
}

/** True for hosts that are this machine. */
export function isLoopback(origin: Origin): boolean {
  return origin.host === "localhost" || origin.host === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(origin.host);
}

/** Reads an absolute http or https URL; undefined if it is none. User info and fragment are dropped. */
export function parseTarget(text: string): Target | undefined {
  const parts = /^(https?):\/\/([^/?#\\]+)([^#]*)/i.exec(text);
  if (parts === null) return undefined;
  const [, scheme = "", authority = "", rest = ""] = parts;
  return targetAt(scheme.toLowerCase() === "https" ? "https" : "http", authority, rest);
}

/**
 * Where a Location header leads, read against the URL that sent it (RFC 3986, 5.2). An absolute form keeps its path and
 * query as they are; only a relative path is merged. Throws a `TransportError` for what is no http URL.
 */
export function resolveLocation(base: Target, location: string): Target {
  const text = location.trim();
  const target = /^[a-z][a-z0-9+.-]*:/i.test(text)
    ? parseTarget(text)
    : text.startsWith("//")
      ? parseTarget(`${base.scheme}:${text}`)
      : { ...base, path: relativePath(base.path, text.replace(/#.*$/s, "")) };
  if (target === undefined)
    throw new TransportError("redirect", hostLabel(base), "redirects to what is no http address");
  return target;
}

function targetAt(scheme: "http" | "https", authority: string, rest: string): Target | undefined {
  const origin = `${scheme}://${authority.slice(authority.lastIndexOf("@") + 1)}`;
  if (!URL.canParse(origin)) return undefined;
  const { hostname, port } = new URL(origin);
  const path = rest.startsWith("/") ? rest : `/${rest}`;
  return { scheme, host: hostname, port: port === "" ? defaultPort(scheme) : Number(port), path: sendable(path) };
}

function relativePath(base: string, reference: string): string {
  if (reference.startsWith("/")) return sendable(reference);
  const basePath = base.replace(/\?.*$/s, "");
  if (reference === "") return base;
  if (reference.startsWith("?")) return sendable(basePath + reference);
  const [, path = "", query = ""] = /^([^?]*)(.*)$/s.exec(reference) ?? [];
  return sendable(withoutDots(basePath.slice(0, basePath.lastIndexOf("/") + 1) + path) + query);
}

function withoutDots(path: string): string {
  const kept: string[] = [];
  const segments = path.split("/").slice(1);
  for (const [index, segment] of segments.entries()) {
    const isLast = index === segments.length - 1;
    if (segment === "..") kept.pop();
    if (segment !== "." && segment !== "..") kept.push(segment);
    else if (isLast) kept.push("");
  }
  return `/${kept.join("/")}`;
}

/** Escapes what would end the request line early; everything else stays as it came. */
function sendable(path: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters that must not be sent
  return path.replace(/[\x00-\x20\x7f]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`);
}

function defaultPort(scheme: "http" | "https"): number {
  return scheme === "https" ? 443 : 80;
}
