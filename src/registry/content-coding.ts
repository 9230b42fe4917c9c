import { once } from "node:events";
import type { Transform } from "node:stream";
import {
  brotliDecompressSync,
  constants,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createZstdDecompress,
  gunzipSync,
  inflateSync,
  zstdDecompressSync,
} from "node:zlib";
import { type HeaderFields, headerOf } from "./http/http-message.ts";
import type { ChunkSink, HttpBody } from "./http/http-types.ts";

interface Decoder {
  readonly stream: () => Transform;
  readonly whole: (bytes: Uint8Array, options: { readonly maxOutputLength: number }) => Buffer;
}

/**
 * RFC 9659, 3: no more than 8 MB for the window of a body. Node's own limit is 128 MiB, for each of the blobs that come at
 * once.
 */
const zstdOptions = { params: { [constants.ZSTD_d_windowLogMax]: 23 } };

const gzip: Decoder = { stream: () => createGunzip(), whole: gunzipSync };
const decoders: Readonly<Record<string, Decoder>> = {
  gzip,
  "x-gzip": gzip,
  deflate: { stream: () => createInflate(), whole: inflateSync },
  br: { stream: () => createBrotliDecompress(), whole: brotliDecompressSync },
  zstd: {
    stream: () => createZstdDecompress(zstdOptions),
    whole: (bytes, options) => zstdDecompressSync(bytes, { ...options, ...zstdOptions }),
  },
};

/** The coding that an answer claims for its body, if it is one that can be undone. */
export function contentCodingOf(headers: HeaderFields): string | undefined {
  const coding = headerOf(headers, "content-encoding")?.trim().toLowerCase() ?? "";
  return Object.hasOwn(decoders, coding) ? coding : undefined;
}

/** What a body claims to be. */
export interface EncodedBody {
  readonly coding: string;
  /** Of what it encodes. */
  readonly sizeBytes: number;
}

/** A body has far more bytes than what it is to encode: what means nothing in a coding may go on without end. */
export class EncodedTooLong extends Error {}

/** What a coding may add: far less than this, but for what means nothing. */
const ADDED_BYTES = 1024 * 1024;

/**
 * Hands the decoded bytes of a body to `sink`. Rejects as the body does, with the sink's error or the decoder's, or with
 * `EncodedTooLong`.
 */
export async function decodeInto(body: HttpBody, { coding, sizeBytes }: EncodedBody, sink: ChunkSink): Promise<void> {
  const decoder = decoders[coding]?.stream();
  if (decoder === undefined) throw new Error(`no decoder for ${coding}`);
  const taken = (async () => {
    for await (const chunk of decoder) await sink(chunk as Buffer);
  })();
  taken.catch(() => undefined);
  let left = 2 * sizeBytes + ADDED_BYTES;
  try {
    await body.readInto((chunk) => {
      left -= chunk.length;
      if (left < 0) throw new EncodedTooLong();
      // A copy: the decoder works on while the connection's buffer is filled anew.
      if (decoder.write(Buffer.from(chunk))) return undefined;
      return Promise.race([once(decoder, "drain").then(() => undefined), taken]);
    });
    decoder.end();
  } catch (error) {
    decoder.destroy();
    throw error;
  }
  await taken;
}

/** True for what a decoder says of bytes that are not of its coding. */
export function isDecodingError(error: unknown): boolean {
  return error instanceof Error && /^(Z_|ERR_|ZSTD_)/.test(String((error as NodeJS.ErrnoException).code));
}

/** The decoded form of a small body; undefined if it has none of at most `maxBytes`. */
export function decodeWhole(bytes: Uint8Array, coding: string, maxBytes: number): Buffer | undefined {
  try {
    return decoders[coding]?.whole(bytes, { maxOutputLength: maxBytes });
  } catch {
    return undefined;
  }
}
