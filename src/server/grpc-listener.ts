import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { ConnectRouter } from "@connectrpc/connect";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import { compressionGzip } from "@connectrpc/connect-node";
import { describeError, type Logger } from "../base/index.ts";
import { GrpcRouter } from "./grpc-router.ts";
import { endBodyWithCall, requestFromStream, respondOnStream } from "./grpc-stream.ts";
import type { InFlight } from "./in-flight.ts";

/** What answers gRPC requests. */
export interface GrpcListenerOptions {
  readonly routes: (router: ConnectRouter) => void;
  readonly logger: Logger;
  /** Every request is counted here until its handler returned and its stream is closed. */
  readonly calls: InFlight;
  /** Gives up all handlers, with the status that is its reason. */
  readonly stopping: AbortSignal;
}

/** Requests of kubelet have a few KiB; the largest Secret has 1 MiB. */
const READ_MAX_BYTES = 4 * 1024 * 1024;
/** Longer delays make a timer fire at once. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;
/** What longer grpc-timeouts become: some 23 days, below MAX_TIMEOUT_MS. */
const LONGEST_TIMEOUT_S = 2_000_000;

/**
 * A listener for http2 "stream" events that answers gRPC, and no other protocol, from the routes. Whatever a peer
 * sends, nothing is thrown: Connect's own adapter throws on authorities that are no URL host, which would end the
 * process, and reports what fails late on the console.
 */
export function createGrpcListener(
  options: GrpcListenerOptions,
): (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void {
  const handlers = handlersFrom(options);
  return (stream, headers) => {
    const endCall = options.calls.begin();
    const closed = new Promise<void>((resolve) => stream.once("close", resolve));
    // What it says is told by its closing, too.
    stream.on("error", () => undefined);
    const answered = answer(handlers, stream, headers).catch((reason: unknown) => {
      options.logger.debug("a call was cut off", { path: headers[":path"] ?? "", error: describeError(reason) });
      cut(stream, constants.NGHTTP2_INTERNAL_ERROR);
    });
    void Promise.all([closed, answered]).then(endCall);
  };
}

function handlersFrom(options: GrpcListenerOptions): ReadonlyMap<string, UniversalHandler> {
  const router = new GrpcRouter({
    acceptCompression: [compressionGzip],
    readMaxBytes: READ_MAX_BYTES,
    maxTimeoutMs: MAX_TIMEOUT_MS,
    shutdownSignal: options.stopping,
    requestGate: endBodyWithCall,
  });
  options.routes(router);
  return new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
}

/** Resolves when the handler is done and its answer is on the way; the stream may be open a little longer. */
async function answer(
  handlers: ReadonlyMap<string, UniversalHandler>,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
): Promise<void> {
  const handler = handlers.get(headers[":path"]?.split("?", 1)[0] ?? "");
  if (handler === undefined) return refuseUnknown(stream, headers);
  const timeout = headers["grpc-timeout"];
  if (typeof timeout === "string") headers["grpc-timeout"] = clampTimeout(timeout);
  await respondOnStream(stream, await handler(requestFromStream(stream, headers)));
}

function cut(stream: ServerHttp2Stream, code: number): void {
  if (!stream.closed && !stream.destroyed) stream.close(code);
}

/** A grpc-timeout as the caller sent it, or the longest one that timers bear. */
function clampTimeout(timeout: string): string {
  const [, digits, unit] = /^(\d{1,8})([HMS])$/.exec(timeout) ?? [];
  const secondsOf: Readonly<Record<string, number>> = { H: 3600, M: 60, S: 1 };
  const seconds = Number(digits) * (secondsOf[unit ?? ""] ?? 0);
  return seconds > LONGEST_TIMEOUT_S ? `${LONGEST_TIMEOUT_S}S` : timeout;
}

/** Says UNIMPLEMENTED to gRPC clients, 404 to others. */
function refuseUnknown(stream: ServerHttp2Stream, requested: IncomingHttpHeaders): void {
  const isGrpc = requested["content-type"]?.startsWith("application/grpc") === true;
  const grpcHeaders = {
    "content-type": "application/grpc",
    "grpc-status": "12",
    "grpc-message": "this driver has no such method",
  };
  const headers = isGrpc ? { ":status": 200, ...grpcHeaders } : { ":status": 404 };
  stream.respond(headers, { endStream: true });
}
