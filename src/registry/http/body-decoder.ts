import { type BodyFraming, HttpSyntaxError } from "./http-message.ts";

/** Finds the body's bytes in what a connection brings, step by step, without copying. */
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

/** The decoder for a framing. It throws `HttpSyntaxError` for bytes that break it. */
export function createBodyDecoder(framing: BodyFraming): BodyDecoder {
  switch (framing.kind) {
    case "length":
      return createLengthDecoder(framing.length);
    case "chunked":
      return createChunkedDecoder();
    case "until-close":
      return { isDone: false, isWholeAtClose: true, decode: (input) => ({ used: input.length, data: input }) };
  }
}

function createLengthDecoder(length: number): BodyDecoder {
  let left = length;
  return {
    get isDone() {
      return left === 0;
    },
    isWholeAtClose: false,
    decode(input) {
      const data = input.length <= left ? input : input.subarray(0, left);
      left -= data.length;
      return { used: data.length, data };
    },
  };
}

/** RFC 9112, 7.1: size line, data, line end, ..., size 0, trailers (dropped), empty line. */
function createChunkedDecoder(): BodyDecoder {
  let state: "size" | "data" | "data-end" | "trailer" | "done" = "size";
  let left = 0;
  let line = "";
  let trailerBytes = 0;

  /** Adds to the line at hand; its text once it is complete. */
  function readLine(input: Buffer): { readonly used: number; readonly text: string | undefined } {
    const end = input.indexOf(0x0a);
    const used = end < 0 ? input.length : end + 1;
    line += input.toString("latin1", 0, used);
    if (line.length > maxLineBytes) throw new HttpSyntaxError("the answer has a chunk line that is too long");
    if (end < 0) return { used, text: undefined };
    const text = line.replace(/\r?\n$/, "");
    line = "";
    return { used, text };
  }

  function onLine(text: string): void {
    if (state === "size") {
      const size = /^([0-9a-f]{1,12})[ \t]*(?:;.*)?$/is.exec(text)?.[1];
      if (size === undefined) throw new HttpSyntaxError("the answer has a malformed chunk size");
      left = Number.parseInt(size, 16);
      state = left === 0 ? "trailer" : "data";
    } else if (state === "data-end") {
      if (text !== "") throw new HttpSyntaxError("the answer has a chunk longer than its size");
      state = "size";
    } else if (text === "") {
      state = "done";
    } else {
      trailerBytes += text.length;
      if (trailerBytes > maxTrailerBytes) throw new HttpSyntaxError("the answer has trailers that are too long");
    }
  }

  return {
    get isDone() {
      return state === "done";
    },
    isWholeAtClose: false,
    decode(input) {
      if (state === "data") {
        const data = input.subarray(0, left);
        left -= data.length;
        if (left === 0) state = "data-end";
        return { used: data.length, data };
      }
      const { used, text } = readLine(input);
      if (text !== undefined) onLine(text);
      return { used, data: undefined };
    },
  };
}
