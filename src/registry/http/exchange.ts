import type { Clock, Deadline } from "../../base/index.ts";
import { type BodyDecoder, createBodyDecoder } from "./body-decoder.ts";
import { BodyPace } from "./body-pace.ts";
import {
  type BodyFraming,
  bodyFramingOf,
  HttpSyntaxError,
  keepsAlive,
  parseResponseHead,
  type ResponseHead,
} from "./http-message.ts";
import type { ChunkSink, HttpBody, HttpLimits, HttpRequest, HttpResponse } from "./http-types.ts";
import { readAtMostOf } from "./read-at-most.ts";
import { hostLabel } from "./target.ts";
import { TransportError } from "./transport-error.ts";

/** What an exchange is given by its connection. */
export interface ExchangeOptions {
  readonly request: HttpRequest;
  readonly clock: Clock;
  /** The connection's, whose exchange this is now. */
  readonly deadline: Deadline;
  readonly limits: HttpLimits;
  /** Lets the socket read again after it was told to rest. */
  readonly resume: () => void;
  /** Called once, when nothing more is to come; false: the connection cannot serve another request. */
  readonly onOver: (isReusable: boolean) => void;
}

/** Rests of a body up to this size are read so that their connection lives on. */
const worthReadingBytes = 64 * 1024;
const worthReadingMs = 10_000;

/**
 * One request and its answer on a connection: head, then body, then over. Chunks are views of the connection's read
 * buffer; whatever is not handed on at once makes the socket rest (`take` returns false), so that it stays valid.
 */
export class Exchange {
  readonly #options: ExchangeOptions;
  readonly #response = Promise.withResolvers<HttpResponse>();
  readonly #bodyEnd = Promise.withResolvers<void>();
  #phase: "head" | "body" | "over" = "head";
  #headBytes: Buffer | undefined;
  #sawByte = false;
  #decoder: BodyDecoder | undefined;
  #bodyLength: number | undefined;
  #keepsAlive = false;
  /** Bytes of the body that no sink has taken yet. */
  #unread: Buffer[] = [];
  #sink: ChunkSink | undefined;
  #isSinkBusy = false;
  #isResting = false;
  #peerClosed = false;
  /** Of the body. */
  #pace: BodyPace | undefined;

  constructor(options: ExchangeOptions) {
    this.#options = options;
    const { deadline, limits, request } = options;
    const patienceMs = Math.min(limits.firstByteTimeoutMs, request.patienceMs ?? Number.POSITIVE_INFINITY);
    deadline.set(patienceMs, () => this.fail(this.#error("timeout", "no answer in time")));
    request.signal?.addEventListener("abort", this.#onAbort, { once: true });
    // Who reads the body later sees the failure then; nobody may be listening when it happens.
    this.#bodyEnd.promise.catch(() => undefined);
  }

  /** Settles when the head is there, or with why there is none. */
  get response(): Promise<HttpResponse> {
    return this.#response.promise;
  }

  /** True once the peer has answered anything at all. */
  get sawByte(): boolean {
    return this.#sawByte;
  }

  /** What the head says of the body's length, once it is there. */
  get bodyLength(): number | undefined {
    return this.#bodyLength;
  }

  /** True while bytes of the read buffer are still to be handed on. */
  get isHolding(): boolean {
    return this.#unread.length > 0 || this.#isSinkBusy;
  }

  /** Takes what the socket read; false: let it rest until `resume` is called. */
  take(chunk: Buffer): boolean {
    this.#sawByte = true;
    this.#pace?.moved(chunk.length);
    if (this.#phase === "head") this.#takeHead(chunk);
    else if (this.#phase === "body") this.#unread.push(chunk);
    this.#pump();
    this.#isResting = this.isHolding;
    if (this.#isResting) this.#pace?.rest();
    return !this.#isResting;
  }

  /** The peer has closed: right for a body that ends so, a cut else. */
  peerClosed(): void {
    this.#peerClosed = true;
    if (this.#phase === "head") this.fail(this.#error("cut", "the connection was cut before an answer"));
    else if (!this.isHolding) this.#pump();
  }

  /** Ends the exchange early, and its connection. */
  fail(reason: unknown): void {
    if (this.#phase === "over") return;
    this.#response.reject(reason);
    this.#bodyEnd.reject(reason);
    this.#over(false);
  }

  readonly #onAbort = () => this.fail(this.#options.request.signal?.reason);

  #takeHead(chunk: Buffer): void {
    let bytes = this.#headBytes === undefined ? chunk : Buffer.concat([this.#headBytes, chunk]);
    try {
      const start = bytes.toString("latin1", 0, 5);
      // Told at once: who waits for the end of a TLS alert's or another protocol's "head" waits in vain.
      if (!"HTTP/".startsWith(start)) throw new HttpSyntaxError("the answer is not HTTP/1.1");
      let end = bytes.indexOf("\r\n\r\n");
      while (end >= 0) {
        const head = parseResponseHead(bytes.toString("latin1", 0, end));
        const rest = bytes.subarray(end + 4);
        if (head.status === 101) throw new HttpSyntaxError("the answer switches protocols");
        if (head.status >= 200) {
          this.#startBody(head, rest);
          return;
        }
        // An interim answer (RFC 9110, 15.2): the real one follows.
        bytes = rest;
        end = rest.indexOf("\r\n\r\n");
      }
      if (bytes.length > this.#options.limits.headBytes) throw new HttpSyntaxError("the answer's head is too long");
      // A copy: the read buffer serves the next read.
      this.#headBytes = Buffer.from(bytes);
    } catch (error) {
      this.fail(this.#explain(error));
    }
  }

  #startBody(head: ResponseHead, rest: Buffer): void {
    const { request, clock, limits } = this.#options;
    const framing = bodyFramingOf(request.method, head);
    this.#decoder = createBodyDecoder(framing);
    this.#bodyLength = framing.kind === "length" ? framing.length : undefined;
    this.#keepsAlive = keepsAlive(head, framing);
    this.#phase = "body";
    this.#headBytes = undefined;
    if (rest.length > 0) this.#unread.push(rest);
    const pace = new BodyPace(clock, limits.stallTimeoutMs);
    this.#pace = pace;
    this.#watch(pace);
    this.#response.resolve({
      status: head.status,
      headers: head.headers,
      target: request.target,
      body: this.#bodyOf(framing),
    });
  }

  #bodyOf(framing: BodyFraming): HttpBody {
    const length = this.#bodyLength;
    const readInto = (sink: ChunkSink) => {
      this.#sink = sink;
      this.#pump();
      return this.#bodyEnd.promise;
    };
    const readAtMost = async (maxBytes: number, maxMs?: number) => {
      const tooSlow = () => this.fail(this.#error("stalled", "the connection brought too little"));
      const cancelTimer = maxMs === undefined ? undefined : this.#options.clock.after(maxMs, tooSlow);
      return await readAtMostOf(maxBytes, { length, readInto }).finally(cancelTimer);
    };
    const discard = () => {
      if (framing.kind === "until-close" || (length ?? 0) > worthReadingBytes) {
        this.fail(this.#error("cut", "the body was not read"));
        return;
      }
      // Why the rest of an unwanted body does not come is of no interest: the connection is closed then.
      readAtMost(worthReadingBytes, worthReadingMs).catch(() => undefined);
    };
    return { length, readInto, readAtMost, discard };
  }

  /** Hands on what is there, as far as the sink keeps up; then ends the body or lets the socket read again. */
  #pump(): void {
    const decoder = this.#decoder;
    if (this.#phase !== "body" || decoder === undefined || this.#isSinkBusy) return;
    while (!decoder.isDone) {
      const chunk = this.#unread[0];
      if (chunk === undefined) {
        this.#wantMore(decoder);
        return;
      }
      if (this.#sink === undefined || !this.#handOn(this.#sink, decoder, chunk)) return;
    }
    this.#bodyEnd.resolve();
    // Bytes after the body belong to no request: such a connection is not used again.
    this.#over(this.#keepsAlive && this.#unread.length === 0 && !this.#peerClosed);
  }

  /** One step; false when the sink needs time, or has failed. */
  #handOn(sink: ChunkSink, decoder: BodyDecoder, chunk: Buffer): boolean {
    try {
      const { used, data } = decoder.decode(chunk);
      if (used === chunk.length) this.#unread.shift();
      else this.#unread[0] = chunk.subarray(used);
      const busy = data === undefined ? undefined : sink(data);
      if (busy === undefined) return true;
      this.#isSinkBusy = true;
      busy.then(this.#onSinkReady, (reason: unknown) => this.fail(reason));
    } catch (error) {
      this.fail(this.#explain(error));
    }
    return false;
  }

  readonly #onSinkReady = () => {
    this.#isSinkBusy = false;
    this.#pace?.moved(0);
    this.#pump();
  };

  #wantMore(decoder: BodyDecoder): void {
    if (this.#peerClosed) {
      this.#endAtClose(decoder);
    } else if (this.#isResting) {
      this.#isResting = false;
      this.#pace?.wake();
      this.#options.resume();
    }
  }

  #endAtClose(decoder: BodyDecoder): void {
    if (!decoder.isWholeAtClose) {
      this.fail(this.#error("cut", "the connection was cut in mid-answer"));
    } else if (this.#sink !== undefined) {
      this.#bodyEnd.resolve();
      this.#over(false);
    }
  }

  #watch(pace: BodyPace): void {
    this.#options.deadline.set(pace.dueMs, () => {
      const problem = pace.problem();
      if (problem === undefined) this.#watch(pace);
      else this.fail(this.#error("stalled", problem));
    });
  }

  #over(isReusable: boolean): void {
    this.#phase = "over";
    this.#unread = [];
    this.#options.deadline.clear();
    this.#options.request.signal?.removeEventListener("abort", this.#onAbort);
    // An idle connection must read, to see that its peer closes.
    if (isReusable && this.#isResting) this.#options.resume();
    this.#isResting = false;
    this.#options.onOver(isReusable);
  }

  #error(fault: TransportError["fault"], message: string): TransportError {
    return new TransportError(fault, hostLabel(this.#options.request.target), message);
  }

  #explain(error: unknown): unknown {
    return error instanceof HttpSyntaxError ? this.#error("protocol", error.message) : error;
  }
}
