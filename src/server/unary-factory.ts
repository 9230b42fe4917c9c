import { Code, ConnectError, createHandlerContext, type MethodImplSpec } from "@connectrpc/connect";
import {
  assertByteStreamRequest,
  compressionNegotiate,
  createMethodSerializationLookup,
  encodeEnvelope,
  envelopeCompress,
  invokeUnaryImplementation,
  type ProtocolHandlerFactory,
  type UniversalHandler,
  type UniversalHandlerFn,
  type UniversalHandlerOptions,
  type UniversalServerRequest,
  type UniversalServerResponse,
  validateUniversalHandlerOptions,
} from "@connectrpc/connect/protocol";
import {
  createHandlerFactory,
  grpcStatusOk,
  headerAcceptEncoding,
  headerContentType,
  headerEncoding,
  headerGrpcStatus,
  headerTimeout,
  parseContentType,
  parseTimeout,
  setTrailerStatus,
} from "@connectrpc/connect/protocol-grpc";
import { afterTurn } from "../base/index.ts";

type UnarySpec = Extract<MethodImplSpec, { kind: "unary" }>;
type Limits = ReturnType<typeof validateUniversalHandlerOptions>;
type StreamRequest = UniversalServerRequest & { readonly body: AsyncIterable<Uint8Array> };

/** What comes before a message: whether it is compressed, and its length. */
const ENVELOPE_BYTES = 5;

/**
 * Connect's gRPC handlers, with a short way for what kubelet sends: a unary call with one message that is not compressed.
 * Connect's own leads each message through some ten generators, made for streams of messages, which costs a call more than
 * all else that is done for it. Whatever is not just that, errors included, is left to Connect's handler.
 */
export function createUnaryFactory(options: Partial<UniversalHandlerOptions>): ProtocolHandlerFactory {
  const general = createHandlerFactory(options);
  const limits = validateUniversalHandlerOptions(options);
  const factory = (spec: MethodImplSpec): UniversalHandler => {
    const handler = general(spec);
    if (spec.kind !== "unary") return handler;
    const { protocolNames, allowedMethods, supportedContentType, requestPath, service, method } = handler;
    const about = { protocolNames, allowedMethods, supportedContentType, requestPath, service, method };
    return Object.assign(unaryHandler(spec, limits, handler), about);
  };
  return Object.assign(factory, { protocolName: general.protocolName });
}

function unaryHandler(spec: UnarySpec, limits: Limits, general: UniversalHandlerFn): UniversalHandlerFn {
  const serialization = createMethodSerializationLookup(spec.method, undefined, undefined, limits);
  const { parse } = serialization.getI(true);
  const { serialize } = serialization.getO(true);
  // Without a reason each call would make an error with a stack, to tell nobody that it is over.
  const over = new ConnectError("the call is over", Code.Canceled);
  return async (request) => {
    assertByteStreamRequest(request);
    const asked = understand(request, limits);
    if (asked === undefined) return general(request);
    const context = contextFor(spec, request, { timeoutMs: asked.timeoutMs, shutdownSignal: limits.shutdownSignal });
    try {
      await limits.requestGate?.(context);
      const { message, read } = await readMessage(request.body, limits.readMaxBytes);
      if (message === undefined) {
        // A caller that is gone needs no answer. That its stream broke is known a turn after its request seems to end.
        await new Promise<void>((resolve) => afterTurn(resolve));
        request.signal.throwIfAborted();
        return await general({ ...request, body: again(read, request.body) });
      }
      if (asked.compression !== null) context.responseHeader.set(headerEncoding, asked.compression.name);
      const answer = await invokeUnaryImplementation(spec, context, parse(message), limits.interceptors);
      const plain = { flags: 0, data: serialize(answer) };
      const { flags, data } = await envelopeCompress(plain, asked.compression, limits.compressMinBytes);
      return answerOf(context, encodeEnvelope(flags, data));
    } catch (reason) {
      setTrailerStatus(context.responseTrailer, statusOf(reason));
      return answerOf(context);
    } finally {
      context.abort(over);
    }
  };
}

/** What the headers ask for; undefined for what is left to Connect's handler. */
function understand({ method, header }: StreamRequest, { acceptCompression, maxTimeoutMs }: Limits) {
  const timeout = parseTimeout(header.get(headerTimeout), maxTimeoutMs);
  const accepted = header.get(headerAcceptEncoding);
  const encodings = compressionNegotiate(acceptCompression, header.get(headerEncoding), accepted, headerAcceptEncoding);
  const isPlain = method === "POST" && parseContentType(header.get(headerContentType))?.binary === true;
  if (!isPlain || timeout.error !== undefined || encodings.error !== undefined || encodings.request !== null)
    return undefined;
  return { timeoutMs: timeout.timeoutMs, compression: encodings.response };
}

interface Bounds {
  readonly timeoutMs: number | undefined;
  readonly shutdownSignal: AbortSignal | undefined;
}

function contextFor(spec: UnarySpec, request: StreamRequest, { timeoutMs, shutdownSignal }: Bounds) {
  const { method, url, header, signal, contextValues } = request;
  return createHandlerContext({
    service: spec.method.parent,
    method: spec.method,
    protocolName: "grpc",
    requestMethod: method,
    url,
    requestSignal: signal,
    requestHeader: header,
    responseHeader: { [headerContentType]: "application/grpc+proto" },
    responseTrailer: { [headerGrpcStatus]: grpcStatusOk },
    ...(contextValues === undefined ? {} : { contextValues }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(shutdownSignal === undefined ? {} : { shutdownSignal }),
  });
}

/** The one message of a body; undefined if that is not just one, or not as it should be: then what was read of it. */
async function readMessage(body: AsyncIterable<Uint8Array>, maxBytes: number) {
  const read: Uint8Array[] = [];
  let length = 0;
  const parts = body[Symbol.asyncIterator]();
  for (let part = await parts.next(); part.done !== true; part = await parts.next()) {
    read.push(part.value);
    // The first part tells how long it is going to be.
    if (length > 0 && length < ENVELOPE_BYTES) read.splice(0, read.length, Buffer.concat(read));
    length += part.value.length;
    if (length > ENVELOPE_BYTES + maxBytes || tells(read[0]) > maxBytes) return { message: undefined, read };
  }
  const [first] = read;
  const all = read.length === 1 && first !== undefined ? first : Buffer.concat(read);
  const isOne = length >= ENVELOPE_BYTES && all[0] === 0 && lengthIn(all) === length - ENVELOPE_BYTES;
  return { message: isOne ? all.subarray(ENVELOPE_BYTES) : undefined, read };
}

/** How long a message is going to be; 0 where its first part is too short to tell. */
function tells(part: Uint8Array | undefined): number {
  return part === undefined || part.length < ENVELOPE_BYTES ? 0 : lengthIn(part);
}

function lengthIn(envelope: Uint8Array): number {
  return new DataView(envelope.buffer, envelope.byteOffset).getUint32(1);
}

/** A body once more from its start, though some of it was read. */
async function* again(read: readonly Uint8Array[], rest: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* read;
  yield* rest;
}

function answerOf(
  { responseHeader, responseTrailer }: ReturnType<typeof createHandlerContext>,
  ...body: readonly Uint8Array[]
): UniversalServerResponse {
  return { status: 200, header: responseHeader, body: partsOf(body), trailer: responseTrailer };
}

async function* partsOf(parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts;
}

/** As Connect's handler tells what was thrown. */
function statusOf(reason: unknown): ConnectError {
  if (reason instanceof ConnectError) return reason;
  return new ConnectError("internal error", Code.Internal, undefined, undefined, reason);
}
