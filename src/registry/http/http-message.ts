/** Header fields by lower-case name, values in the order they came. */
export type HeaderFields = ReadonlyMap<string, readonly string[]>;

/** The head of an answer. */
export interface ResponseHead {
  readonly status: number;
  readonly minorVersion: 0 | 1;
  readonly headers: HeaderFields;
}

/** How the end of a body is known (RFC 9112, 6.3). */
export type BodyFraming =
  | { readonly kind: "length"; readonly length: number }
  | { readonly kind: "chunked" }
  | { readonly kind: "until-close" };

/** What an answer or request breaks; the connection layer adds the host. */
export class HttpSyntaxError extends Error {}

/** The first value of a field. */
export function headerOf(headers: HeaderFields, name: string): string | undefined {
  return headers.get(name)?.[0];
}

/** The bytes (latin1) of a request's head. Throws `HttpSyntaxError` for a value that would break out of its line. */
export function formatRequestHead(method: string, path: string, headers: ReadonlyMap<string, string>): string {
  let text = `${method} ${path} HTTP/1.1\r\n`;
  for (const [name, value] of headers) {
    if (/[\r\n\0]/.test(value)) throw new HttpSyntaxError(`the value of ${name} has a line break in it`);
    text += `${name}: ${value}\r\n`;
  }
  return `${text}\r\n`;
}

/** Reads a head: status line and fields, without the empty line at its end. Throws `HttpSyntaxError`. */
export function parseResponseHead(text: string): ResponseHead {
  const lines = text.split("\r\n");
  const status = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: |$)/.exec(lines.shift() ?? "");
  if (status === null) throw new HttpSyntaxError("the answer is not HTTP/1.1");
  const headers = new Map<string, string[]>();
  let last: string[] | undefined;
  for (const line of lines) {
    // An obsolete folded line goes on with the value before it.
    if ((line.startsWith(" ") || line.startsWith("\t")) && last !== undefined) {
      last.push(`${last.pop()} ${line.trim()}`);
      continue;
    }
    const nameLength = line.indexOf(":");
    const name = line.slice(0, Math.max(0, nameLength)).toLowerCase();
    if (!/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name)) throw new HttpSyntaxError("the answer has a malformed header line");
    const value = line.slice(nameLength + 1).trim();
    last = headers.get(name) ?? [];
    last.push(value);
    headers.set(name, last);
  }
  return { status: Number(status[2]), minorVersion: status[1] === "0" ? 0 : 1, headers };
}

/** How the body of an answer to `method` ends. Throws `HttpSyntaxError` where that cannot be told. */
export function bodyFramingOf(method: string, head: ResponseHead): BodyFraming {
  if (method === "HEAD" || head.status === 204 || head.status === 304) return { kind: "length", length: 0 };
  const encodings = listOf(head.headers.get("transfer-encoding"));
  if (encodings.length > 0) {
    if (encodings.length === 1 && encodings[0] === "chunked") return { kind: "chunked" };
    throw new HttpSyntaxError("the answer has a transfer encoding that is not known");
  }
  const lengths = new Set(listOf(head.headers.get("content-length")));
  const [length] = lengths;
  if (length === undefined) return { kind: "until-close" };
  if (lengths.size > 1 || !/^\d{1,15}$/.test(length)) throw new HttpSyntaxError("the answer has no clear length");
  return { kind: "length", length: Number(length) };
}

/** True if the connection may carry another request after this answer. */
export function keepsAlive(head: ResponseHead, framing: BodyFraming): boolean {
  if (framing.kind === "until-close") return false;
  // Both framings at once is how requests are smuggled: the answer is read, the connection is not trusted any more.
  if (framing.kind === "chunked" && head.headers.has("content-length")) return false;
  const options = listOf(head.headers.get("connection"));
  return head.minorVersion === 1 ? !options.includes("close") : options.includes("keep-alive");
}

function listOf(values: readonly string[] | undefined): string[] {
  if (values === undefined) return [];
  const only = values.length === 1 ? values[0]?.trim().toLowerCase() : undefined;
  if (only && !only.includes(",")) return [only];
  return values
    .join(",")
    .split(",")
    .map((item) => item.trim().toLowerCase())
    .filter((item) => item !== "");
}
