import { crc32, createInflateRaw } from "node:zlib";
import type { ByteSource } from "./byte-source.ts";
import { INFLATER_OPTIONS, inflate, inflateSmall, SMALL_BYTES } from "./inflater.ts";
import { refuseTar } from "./refusal.ts";

const GZIP_MAGIC = Buffer.from([0x1f, 0x8b]);
const DEFLATE = 8;
const FIXED_HEADER_BYTES = 10;
const TRAILER_BYTES = 8;
/** Names and comments in headers are of no use to us and never long. */
const MAX_HEADER_TEXT_BYTES = 64 * 1024;
const HEADER_TEXT_STEP_BYTES = 1024;
const flag = { headerCrc: 0x02, extra: 0x04, name: 0x08, comment: 0x10, reserved: 0xe0 } as const;

const NOTHING = Buffer.alloc(0);

/** Whether these first bytes are a gzip member's. */
export function isGzip(start: Buffer): boolean {
  return start.subarray(0, 2).equals(GZIP_MAGIC);
}

/**
 * What all members of a gzip file (RFC 1952) hold, one after the other, with an empty part between two of them. What
 * follows the last one, zeros or garbage, is ignored as gzip(1) does. node:zlib's own gunzip loses the output before such
 * garbage, hence our reading of the frame.
 */
export async function* gunzip(source: ByteSource): AsyncGenerator<Buffer> {
  let isSmall = false;
  for (let isFirst = true; isFirst || isGzip(await source.peek(2)); isFirst = false) {
    // Costs as much as some kilobytes, whatever is in it: who counts what comes has to see it.
    if (!isFirst) yield NOTHING;
    await skipHeader(source);
    let crc = 0;
    let size = 0;
    // Where one is small, the next ones are: a stream costs more than all else that is done for them.
    const whole = isSmall ? inflateSmall(source) : undefined;
    for await (const part of whole ?? inflate(createInflateRaw(INFLATER_OPTIONS), source)) {
      crc = crc32(part, crc);
      size += part.length;
      yield part;
    }
    isSmall = size <= SMALL_BYTES;
    const trailer = await source.take(TRAILER_BYTES);
    if (trailer === undefined) throw cutOff();
    if (trailer.readUInt32LE(0) !== crc)
      throw refuseTar("its gzip checksum does not fit: it was damaged before the push");
    if (trailer.readUInt32LE(4) !== size % 2 ** 32)
      throw refuseTar("its gzip length does not fit: it was damaged before the push");
  }
}

async function skipHeader(source: ByteSource): Promise<void> {
  const header = await source.take(FIXED_HEADER_BYTES);
  if (header === undefined) throw cutOff();
  const flags = header[3] ?? 0;
  if (header[2] !== DEFLATE || (flags & flag.reserved) !== 0) throw refuseTar("its gzip header is of an unknown kind");
  if ((flags & flag.extra) !== 0) {
    const length = await source.take(2);
    if (length === undefined || (await source.take(length.readUInt16LE())) === undefined) throw cutOff();
  }
  if ((flags & flag.name) !== 0) await skipText(source);
  if ((flags & flag.comment) !== 0) await skipText(source);
  if ((flags & flag.headerCrc) !== 0 && (await source.take(2)) === undefined) throw cutOff();
}

async function skipText(source: ByteSource): Promise<void> {
  for (let length = 0; length < MAX_HEADER_TEXT_BYTES; length += HEADER_TEXT_STEP_BYTES) {
    const step = await source.peek(HEADER_TEXT_STEP_BYTES);
    const end = step.indexOf(0);
    source.skip(end === -1 ? step.length : end + 1);
    if (end !== -1) return;
    if (step.length < HEADER_TEXT_STEP_BYTES) throw cutOff();
  }
  throw refuseTar("a text in its gzip header does not end");
}

function cutOff(): Error {
  return refuseTar("its gzip data is cut off");
}
