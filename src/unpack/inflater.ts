import { type InflateRaw, inflateRawSync, type ZstdDecompress } from "node:zlib";
import { buildInfo, errnoOf, freeBuffers } from "../base/index.ts";
import type { ByteSource } from "./byte-source.ts";
import { refuseTar } from "./refusal.ts";

/**
 * Settings of a decompressing stream. While our thread handles one part of the output, zlib's makes the next one: for that
 * its read buffer must hold several. Each change of threads has one of them wait for the other, hence few large parts:
 * files of all sizes in one even out.
 */
export const INFLATER_OPTIONS = { chunkSize: 512 * 1024, readableHighWaterMark: 1024 * 1024 } as const;

/**
 * Runs the source through a decompressing stream until the compressed data ends, and gives back to the source what was
 * not part of it. Each part is valid until the next one is asked for. Throws "refused" for damaged data; what the source
 * throws is thrown on.
 */
export async function* inflate(stream: InflateRaw | ZstdDecompress, source: ByteSource): AsyncGenerator<Buffer> {
  const feeder: Feeder = { stream, source, failure: undefined };
  const feeding = feed(feeder);
  try {
    // Deno's streams of zlib stop for good when they are paused within "data".
    yield* buildInfo().runtime === "deno" ? stream : outputOf(stream);
  } catch (error) {
    throw feeder.failure ?? refuseTar(whyUnreadable(error), error);
  } finally {
    stream.destroy();
  }
  // Not after an error: a broken stream never says that it has used a part.
  await feeding;
}

/**
 * The stream's output, buffer by buffer as zlib filled them. Asynchronous iteration would put all that wait together into
 * new ones, and leave all of it to the garbage collection, which looks at buffers only every 64 MB.
 */
async function* outputOf(stream: InflateRaw | ZstdDecompress): AsyncGenerator<Buffer> {
  let tail = Promise.withResolvers<Output | undefined>();
  let upcoming = tail.promise;
  stream.on("data", (part: Buffer) => {
    stream.pause();
    const { resolve } = tail;
    // The end may be told right after the last part, before anybody has taken that.
    tail = Promise.withResolvers();
    // The failure is told when it is this promise's turn.
    tail.promise.catch(() => undefined);
    resolve({ part, upcoming: tail.promise });
  });
  stream.once("end", () => tail.resolve(undefined));
  stream.once("error", (error) => tail.reject(error));
  let last: Buffer | undefined;
  for (let output = await upcoming; output !== undefined; output = await upcoming) {
    const { part } = output;
    upcoming = output.upcoming;
    yield part;
    // One that is filled to its end is not written to any more.
    if (part.byteOffset + part.length === part.buffer.byteLength) freeOutput(part);
    last = part;
    stream.resume();
  }
  // The stream has ended: it writes nothing any more.
  if (last !== undefined) freeOutput(last);
}

/** A part of what a stream puts out, and what comes after it: undefined at the end. */
interface Output {
  readonly part: Buffer;
  readonly upcoming: Promise<Output | undefined>;
}

/** Frees the whole buffer that zlib gave a part of; one of another size would be somebody else's. */
function freeOutput(part: Buffer): void {
  if (part.buffer.byteLength === INFLATER_OPTIONS.chunkSize) freeBuffers([part]);
}

/** So much is unpacked in one go. */
export const SMALL_BYTES = 64 * 1024;

/**
 * What a small piece of raw deflate data at the source's start holds, if all of it is there already; what follows it is
 * left. Undefined where only `inflate` can say more: it is large, or damaged, or its end is still to come.
 */
export function inflateSmall(source: ByteSource): readonly Buffer[] | undefined {
  // Deno does not tell where the data ends.
  if (buildInfo().runtime === "deno") return undefined;
  const packed = source.ahead.subarray(0, SMALL_BYTES);
  try {
    const { buffer, engine } = inflateRawSync(packed, SMALL_OPTIONS) as unknown as InflatedWhole;
    source.skip(engine.bytesWritten);
    return buffer.length === 0 ? [] : [buffer];
  } catch {
    return undefined;
  }
}

/** Buffers of a kilobyte come from Node's pool: a thousand pieces make no garbage to speak of. */
const SMALL_OPTIONS = { info: true, maxOutputLength: SMALL_BYTES, chunkSize: 1024 } as const;

/** What inflateRawSync gives with `info`. */
interface InflatedWhole {
  readonly buffer: Buffer;
  /** `bytesWritten`: so much of the input belonged to the data. */
  readonly engine: { readonly bytesWritten: number };
}

interface Feeder {
  readonly stream: InflateRaw | ZstdDecompress;
  readonly source: ByteSource;
  /** What the source threw. */
  failure: unknown;
}

/** Ends when the stream has what it needs. Never throws: a failing source breaks the stream, which tells the reader. */
async function feed(feeder: Feeder): Promise<void> {
  const { stream, source } = feeder;
  try {
    for (let fed = 0; ; ) {
      const part = await source.next();
      if (part === undefined) {
        stream.end();
        return;
      }
      fed += part.length;
      if (!(await write(stream, part))) return;
      const unused = fed - stream.bytesWritten;
      if (unused > 0) {
        source.unread(part.subarray(part.length - unused));
        return;
      }
    }
  } catch (error) {
    feeder.failure = error;
    stream.destroy(error instanceof Error ? error : new Error(String(error)));
  }
}

/** Resolves once the part is used; false if the stream is broken, which its reader hears of. */
function write(stream: InflateRaw | ZstdDecompress, part: Buffer): Promise<boolean> {
  return new Promise((resolve) => stream.write(part, (error) => resolve(error === null || error === undefined)));
}

function whyUnreadable(error: unknown): string {
  if (errnoOf(error) === "ZSTD_error_frameParameter_windowTooLarge") {
    return "its zstd data needs a window of more than 128 MiB: compress it with --long=27 at most";
  }
  return `its compressed data is damaged or cut off (${error instanceof Error ? error.message : String(error)})`;
}
