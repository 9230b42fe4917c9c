import { constants, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import { type ConnectRouter, createConnectRouter } from "@connectrpc/connect";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import {
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import { describeError, type Logger } from "../base/index.ts";
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
 * A listener for http2 "request" events that answers gRPC, and no other protocol, from the routes. Whatever a peer
 * sends, nothing is thrown: Connect's own adapter throws on authorities that are no URL host, which would end the
 * process, and reports what fails late on the console.
 */
export function createGrpcListener(
  options: GrpcListenerOptions,
): (request: Http2ServerRequest, response: Http2ServerResponse) => void {
  const handlers = handlersFrom(options);
  return (request, response) => {
    const endCall = options.calls.begin();
    const closed = new Promise<void>((resolve) => response.once("close", resolve));
    const answered = answer(handlers, request, response).catch((reason: unknown) => {
      options.logger.debug("a call was cut off", { path: request.url, error: describeError(reason) });
      cut(response, constants.NGHTTP2_INTERNAL_ERROR);
    });
    void Promise.all([closed, answered]).then(endCall);
  };
}

function handlersFrom(options: GrpcListenerOptions): ReadonlyMap<string, UniversalHandler> {
  const router = createConnectRouter({
    grpc: true,
    grpcWeb: false,
    connect: false,
    acceptCompression: [compressionGzip],
    readMaxBytes: READ_MAX_BYTES,
    maxTimeoutMs: MAX_TIMEOUT_MS,
    shutdownSignal: options.stopping,
  });
  options.routes(router);
  return new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
}

/** Resolves when the handler is done and its answer is on the way; the stream may be open a little longer. */
async function answer(
  handlers: ReadonlyMap<string, UniversalHandler>,
  request: Http2ServerRequest,
  response: Http2ServerResponse,
): Promise<void> {
  const handler = handlers.get(request.url.split("?", 1)[0] ?? "");
  if (handler === undefined) return refuseUnknown(request, response);
  // There is one host here, whatever the caller names it: newer grpc-go sends the socket's path, percent-encoded.
  request.headers[":authority"] = "localhost";
  const timeout = request.headers["grpc-timeout"];
  if (typeof timeout === "string") request.headers["grpc-timeout"] = clampTimeout(timeout);
  const reply = await handler(universalRequestFromNodeRequest(request, response, undefined, undefined));
  // Not awaited: it ends only with an "end" event, which a response that was cut off never has.
  universalResponseToNodeResponse(reply, response).catch(() => {
    // The peer is gone: the handler's work is done and nobody is left to tell.
    cut(response, constants.NGHTTP2_CANCEL);
  });
}

function cut(response: Http2ServerResponse, code: number): void {
  if (!response.stream.closed && !response.stream.destroyed) response.stream.close(code);
}

/** A grpc-timeout as the caller sent it, or the longest one that timers bear. */
function clampTimeout(timeout: string): string {
  const [, digits, unit] = /^(\d{1,8})([HMS])$/.exec(timeout) ?? [];
  const secondsOf: Readonly<Record<string, number>> = { H: 3600, M: 60, S: 1 };
  const seconds = Number(digits) * (secondsOf[unit ?? ""] ?? 0);
  return seconds > LONGEST_TIMEOUT_S ? `${LONGEST_TIMEOUT_S}S` : timeout;
}

/** Says UNIMPLEMENTED to gRPC clients, 404 to others. */
function refuseUnknown(request: Http2ServerRequest, response: Http2ServerResponse): void {
  const isGrpc = request.headers["content-type"]?.startsWith("application/grpc") === true;
  const grpcHeaders = {
    "content-type": "application/grpc",
    "grpc-status": "12",
    "grpc-message": "this driver has no such method",
  };
  const headers = isGrpc ? { ":status": 200, ...grpcHeaders } : { ":status": 404 };
  response.stream.respond(headers, { endStream: true });
}
