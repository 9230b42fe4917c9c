import type { ServerResponse } from "node:http";
import { setTimeout as delay, setImmediate as turn } from "node:timers/promises";
import type { LoggedRequest, RequestLog } from "./request-log.ts";

/** Something that goes wrong with one answer. */
export type Fault =
  /** Another status in place of the answer. */
  | {
      readonly kind: "status";
      readonly status: number;
      readonly headers?: Record<string, string>;
      readonly body?: string;
    }
  /** The body with its last byte changed. */
  | { readonly kind: "corrupt" }
  /** The connection is cut after so many bytes of the body. */
  | { readonly kind: "cut"; readonly afterBytes: number }
  /** So many bytes of the body are sent; the rest waits for the promise. */
  | { readonly kind: "hold"; readonly afterBytes: number; readonly until: Promise<unknown> }
  /** Other pieces in place of the body, be they endless, and nothing but these headers: chunked without a length. */
  | {
      readonly kind: "body";
      readonly pieces: Iterable<Buffer>;
      readonly headers: Record<string, string>;
      /** The connection is cut after the last piece: for a length that promises more. */
      readonly thenCut?: boolean;
    };

/** Looks at each request; what it returns happens to the answer. */
export type FaultHook = (request: LoggedRequest) => Fault | undefined;

/** An answer with a body, ready to be sent. */
export interface Answer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: Buffer;
}

/** How answers leave an embedded registry. */
export interface DeliveryOptions {
  readonly log: RequestLog;
  /** Bytes a second on each connection, for bodies of blobs; as fast as it goes when left out. */
  readonly bytesPerSecond?: number | undefined;
}

const PIECE_BYTES = 256 * 1024;
const PIECES_PER_SECOND = 50;

/** Sends an answer: piece by piece, at the speed that is asked for, with the fault that is asked for. */
export async function deliver(
  response: ServerResponse,
  entry: LoggedRequest,
  answer: Answer,
  options: DeliveryOptions & { readonly fault?: Fault | undefined },
): Promise<void> {
  const { fault, log } = options;
  if (fault?.kind === "body") return await deliverPieces(response, entry, fault);
  const body = fault?.kind === "corrupt" ? corrupted(answer.body) : answer.body;
  entry.status = answer.status;
  response.writeHead(answer.status, { ...answer.headers, "content-length": String(body.length) });
  if (entry.method === "HEAD") return void response.end();
  const slow = options.bytesPerSecond !== undefined && entry.path.includes("/blobs/");
  const pieceBytes = slow ? Math.ceil((options.bytesPerSecond ?? 0) / PIECES_PER_SECOND) : PIECE_BYTES;
  for (let at = 0; at < body.length && !response.destroyed; ) {
    const stopAt = fault?.kind === "cut" || fault?.kind === "hold" ? fault.afterBytes : Number.POSITIVE_INFINITY;
    if (at >= stopAt && fault?.kind === "cut") return void response.destroy();
    if (at === stopAt && fault?.kind === "hold") await Promise.race([fault.until, closed(response)]);
    // Nothing reaches whom it was held back from.
    if (response.destroyed) return;
    const end = Math.min(body.length, at + pieceBytes, at < stopAt ? stopAt : body.length);
    await write(response, body.subarray(at, end));
    entry.bytesSent += end - at;
    at = end;
    log.changed();
    if (slow && at < body.length) await delay(1000 / PIECES_PER_SECOND);
  }
  response.end();
}

async function deliverPieces(
  response: ServerResponse,
  entry: LoggedRequest,
  { pieces, headers, thenCut }: Extract<Fault, { kind: "body" }>,
): Promise<void> {
  entry.status = 200;
  response.writeHead(200, headers);
  // Nobody reads a body here, however long it is: the writes would never end.
  if (entry.method === "HEAD") return void response.end();
  for (const piece of pieces) {
    await write(response, piece);
    // Writes may end at once, again and again: that the peer is gone is only heard of in between.
    await turn();
    if (response.destroyed) return;
    entry.bytesSent += piece.length;
  }
  if (thenCut) response.destroy();
  else response.end();
}

function corrupted(body: Buffer): Buffer {
  const copy = Buffer.from(body);
  const last = copy.length - 1;
  if (last >= 0) copy[last] = (copy[last] ?? 0) ^ 0xff;
  return copy;
}

function closed(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => response.once("close", () => resolve()));
}

/** Resolves when the piece has left for the kernel: what is cut off after it does not take it along. */
async function write(response: ServerResponse, piece: Buffer): Promise<void> {
  if (response.destroyed) return;
  await new Promise<void>((resolve) => {
    const gone = () => resolve();
    response.once("close", gone);
    response.write(piece, () => {
      response.off("close", gone);
      resolve();
    });
  });
}
