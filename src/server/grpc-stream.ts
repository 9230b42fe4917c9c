import { constants, type IncomingHttpHeaders, type OutgoingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { Code, ConnectError, createContextKey, createContextValues, type HandlerContext } from "@connectrpc/connect";
import type { UniversalServerRequest, UniversalServerResponse } from "@connectrpc/connect/protocol";
import { afterTurn } from "../base/index.ts";

/** What an HTTP/2 error code of the caller means for its call (gRPC over HTTP2, "Errors"); others are no error. */
const codeOfReset: ReadonlyMap<number, Code> = new Map([
  [constants.NGHTTP2_PROTOCOL_ERROR, Code.Internal],
  [constants.NGHTTP2_INTERNAL_ERROR, Code.Internal],
  [constants.NGHTTP2_FLOW_CONTROL_ERROR, Code.Internal],
  [constants.NGHTTP2_SETTINGS_TIMEOUT, Code.Internal],
  [constants.NGHTTP2_FRAME_SIZE_ERROR, Code.Internal],
  [constants.NGHTTP2_COMPRESSION_ERROR, Code.Internal],
  [constants.NGHTTP2_CONNECT_ERROR, Code.Internal],
  [constants.NGHTTP2_REFUSED_STREAM, Code.Unavailable],
  [constants.NGHTTP2_CANCEL, Code.Canceled],
  [constants.NGHTTP2_ENHANCE_YOUR_CALM, Code.ResourceExhausted],
  [constants.NGHTTP2_INADEQUATE_SECURITY, Code.PermissionDenied],
  [constants.NGHTTP2_HTTP_1_1_REQUIRED, Code.PermissionDenied],
]);

/**
 * A stream of Node's HTTP/2 server as a request of Connect's handlers. Connect's own adapter wraps the stream in Node's
 * HTTP/1 objects and its body in generators, which costs a call more than the handler does. The signal fires when the
 * stream closes before it was answered.
 */
export function requestFromStream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): UniversalServerRequest {
  const caller = new AbortController();
  stream.once("close", () => {
    const { rstCode, headersSent } = stream;
    // Connect is through with the signal of a call that was answered, and each reason is an error with a stack.
    if (rstCode !== constants.NGHTTP2_NO_ERROR || !headersSent) caller.abort(reasonOf(rstCode));
  });
  const body = new RequestBody(stream);
  return {
    httpVersion: "2.0",
    method: headers[":method"] ?? "",
    // There is one host here, whatever the caller names it: newer grpc-go sends the socket's path, percent-encoded.
    url: `http://localhost${headers[":path"] ?? "/"}`,
    header: headersFrom(headers),
    body,
    signal: caller.signal,
    contextValues: createContextValues().set(requestBody, body),
  };
}

/**
 * A request gate of Connect's handlers: who reads a request of `requestFromStream` waits for more of it only until the
 * call's signal fires (a deadline, a server that stops), and gets its reason. Connect reads on for ever.
 */
export function endBodyWithCall({ values, signal }: HandlerContext): void {
  values.get(requestBody)?.endWith(signal);
}

/**
 * Sends the answer of one of Connect's handlers; resolves when it is on its way, or the stream is gone. What the
 * caller sent and nobody read to its end is dropped. (Node drops what nobody began to read.)
 */
export async function respondOnStream(stream: ServerHttp2Stream, answer: UniversalServerResponse): Promise<void> {
  try {
    await respond(stream, answer);
  } finally {
    if (stream.listenerCount("readable") > 0) stream.removeAllListeners("readable").resume();
  }
}

async function respond(stream: ServerHttp2Stream, answer: UniversalServerResponse): Promise<void> {
  // All of it first: the handler may set headers until then, and so they leave in one write with it and the trailers.
  const body = await wholeOf(answer.body);
  if (isGone(stream)) return;
  const { trailer } = answer;
  if (trailer !== undefined) stream.once("wantTrailers", () => sendLast(stream, trailer));
  stream.respond({ ":status": answer.status, ...headersTo(answer.header) }, { waitForTrailers: trailer !== undefined });
  if (body.length > 0) stream.end(body);
  else stream.end();
}

/** Methods are unary here: an answer is one message at most. */
async function wholeOf(body: UniversalServerResponse["body"]): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of body ?? []) parts.push(part);
  return Buffer.concat(parts);
}

/** Ends an answer; a caller that is still sending is told to stop, as its half would keep the stream open. */
function sendLast(stream: ServerHttp2Stream, trailer: UniversalServerResponse["trailer"]): void {
  stream.sendTrailers(headersTo(trailer));
  // Not at once: that would overtake the trailers.
  if (!stream.readableEnded) afterTurn(() => stream.close(constants.NGHTTP2_NO_ERROR));
}

function isGone(stream: ServerHttp2Stream): boolean {
  return stream.destroyed || stream.closed;
}

function reasonOf(resetCode: number): ConnectError | undefined {
  const code = codeOfReset.get(resetCode);
  if (code === undefined) return undefined;
  return new ConnectError(`the caller ended the call (HTTP/2 code ${resetCode})`, code);
}

function headersFrom(headers: IncomingHttpHeaders): Headers {
  const all = new Headers();
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(":") || value === undefined) continue;
    if (typeof value === "string") all.append(name, value);
    else for (const each of value) all.append(name, each);
  }
  return all;
}

function headersTo(headers: UniversalServerResponse["header"]): OutgoingHttpHeaders {
  const all: Record<string, string> = {};
  headers?.forEach((value, name) => {
    all[name] = value;
  });
  return all;
}

/** What a stream brings, read when it is asked for. One reader, one read at a time. */
class RequestBody implements AsyncIterableIterator<Uint8Array> {
  readonly #stream: ServerHttp2Stream;
  #hasBegun = false;
  #hasEnded = false;
  #wake: (() => void) | undefined;
  #call: AbortSignal | undefined;

  constructor(stream: ServerHttp2Stream) {
    this.#stream = stream;
  }

  /** Until when it is waited for what did not come yet. */
  endWith(call: AbortSignal): void {
    this.#call = call;
    call.addEventListener("abort", () => this.#wake?.(), { once: true });
  }

  /** Only for who reads: a stream that somebody waits for does not end by itself when it is not read. */
  #begin(): void {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    const wake = () => this.#wake?.();
    this.#stream.on("readable", wake);
    this.#stream.once("end", () => {
      this.#hasEnded = true;
      wake();
    });
    this.#stream.once("close", wake);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#begin();
    for (;;) {
      const value: Uint8Array | null = this.#stream.read();
      if (value !== null) return { value, done: false };
      if (this.#hasEnded) return { value: undefined, done: true };
      if (isGone(this.#stream)) throw new ConnectError("the request was cut off", Code.Aborted);
      this.#call?.throwIfAborted();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

const requestBody = createContextKey<RequestBody | undefined>(undefined, { description: "the request's body" });
