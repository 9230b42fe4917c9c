import { type BodyFraming, HttpSyntaxError } from "./http-message.ts";

/** Finds the body's bytes in what a connection brings, step by step; only small pieces of them are moved, in their place. */
export interface BodyDecoder {
  /** True when the body's last byte was read. */
  readonly isDone: boolean;
  /** True if the body is whole when the peer closes now. */
  readonly isWholeAtClose: boolean;
  /** Reads `used` (at least one) bytes of a non-empty input; `data` is a view of those that are the body's. */
  decode(input: Buffer): { readonly used: number; readonly data: Buffer | undefined };
}

const maxLineBytes = 8192;
const maxTrailerBytes = 64 * 1024;
/** A chunk below this is moved to the one before it: to hash and write each by itself would take far longer. */
const smallChunkBytes = 4096;

/** The decoder for a framing. It throws `HttpSyntaxError` for bytes that break it. */
export function createBodyDecoder(framing: BodyFraming): BodyDecoder {
  switch (framing.kind) {
    case "length":
      return new LengthDecoder(framing.length);
    case "chunked":
      return new ChunkedDecoder();
    case "until-close":
      return { isDone: false, isWholeAtClose: true, decode: (input) => ({ used: input.length, data: input }) };
  }
}

class LengthDecoder implements BodyDecoder {
  readonly isWholeAtClose = false;
  #left: number;

  constructor(length: number) {
    this.#left = length;
  }

  get isDone(): boolean {
    return this.#left === 0;
  }

  decode(input: Buffer): { readonly used: number; readonly data: Buffer | undefined } {
    const data = input.length <= this.#left ? input : input.subarray(0, this.#left);
    this.#left -= data.length;
    return { used: data.length, data };
  }
}

/** RFC 9112, 7.1: size line, data, line end, ..., size 0, trailers (dropped), empty line. */
class ChunkedDecoder implements BodyDecoder {
  readonly isWholeAtClose = false;
  #state: "size" | "data" | "data-end" | "trailer" | "done" = "size";
  #left = 0;
  #line = "";
  #trailerBytes = 0;

  get isDone(): boolean {
    return this.#state === "done";
  }

  decode(input: Buffer): { readonly used: number; readonly data: Buffer | undefined } {
    let [used, gathered] = [0, 0];
    while (used < input.length && this.#state !== "done") {
      if (this.#state !== "data") {
        used += this.#readLine(input.subarray(used));
        continue;
      }
      const count = Math.min(this.#left, input.length - used);
      const isLarge = count >= smallChunkBytes;
      if (isLarge && used > 0) break;
      if (used > gathered) input.copyWithin(gathered, used, used + count);
      used += count;
      gathered += count;
      this.#left -= count;
      if (this.#left === 0) this.#state = "data-end";
      if (isLarge) break;
    }
    return { used, data: gathered === 0 ? undefined : input.subarray(0, gathered) };
  }

  /** Adds to the line at hand, and reads that once it is complete; how many bytes of the input were its. */
  #readLine(input: Buffer): number {
    const end = input.indexOf(0x0a);
    const used = end < 0 ? input.length : end + 1;
    this.#line += input.toString("latin1", 0, used);
    if (this.#line.length > maxLineBytes) throw new HttpSyntaxError("the answer has a chunk line that is too long");
    if (end < 0) return used;
    const text = this.#line.replace(/\r?\n$/, "");
    this.#line = "";
    this.#onLine(text);
    return used;
  }

  #onLine(text: string): void {
    if (this.#state === "size") {
      const size = /^([0-9a-f]{1,12})[ \t]*(?:;.*)?$/is.exec(text)?.[1];
      if (size === undefined) throw new HttpSyntaxError("the answer has a malformed chunk size");
      this.#left = Number.parseInt(size, 16);
      this.#state = this.#left === 0 ? "trailer" : "data";
    } else if (this.#state === "data-end") {
      if (text !== "") throw new HttpSyntaxError("the answer has a chunk longer than its size");
      this.#state = "size";
    } else if (text === "") {
      this.#state = "done";
    } else {
      this.#trailerBytes += text.length;
      if (this.#trailerBytes > maxTrailerBytes) throw new HttpSyntaxError("the answer has trailers that are too long");
    }
  }
}
