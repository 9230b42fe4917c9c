/** Size of a tar block, the unit of everything in a tar. */
export const BLOCK_BYTES = 512;

/** What a header block says. The names are views of the block. A number that cannot be read is undefined. */
export interface TarHeader {
  readonly name: Buffer;
  readonly linkName: Buffer;
  /** The type flag's byte; NUL (old tars) reads as "0". */
  readonly type: number;
  readonly size: number | undefined;
  readonly mode: number | undefined;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  /** Seconds since 1970. */
  readonly mtime: number | undefined;
}

const NAME = { from: 0, to: 100 };
const LINK_NAME = { from: 157, to: 257 };
const CHECKSUM = { from: 148, to: 156 };
const PREFIX = { from: 345, to: 500 };
const POSIX_MAGIC = Buffer.from("ustar\0", "latin1");
const MAGIC_OFFSET = 257;
const TYPE_OFFSET = 156;

/** Reads a header block: its fields, "end" for a block of zeros, "damaged" if its checksum does not fit. */
export function parseTarHeader(block: Buffer): TarHeader | "end" | "damaged" {
  const sums = checksums(block);
  if (sums.unsigned === 8 * 0x20) return "end";
  const said = parseTarNumber(block, CHECKSUM.from, CHECKSUM.to);
  if (said !== sums.unsigned && said !== sums.signed) return "damaged";
  const type = block[TYPE_OFFSET] ?? 0;
  return {
    name: fullName(block),
    linkName: textField(block, LINK_NAME),
    type: type === 0 ? 0x30 : type,
    size: parseTarNumber(block, 124, 136),
    mode: parseTarNumber(block, 100, 108),
    uid: parseTarNumber(block, 108, 116),
    gid: parseTarNumber(block, 116, 124),
    mtime: parseTarNumber(block, 136, 148),
  };
}

/**
 * A number field: octal digits with blanks around them, or GNU's base 256 (first bit set, two's complement). NULs alone
 * are 0. Undefined if it is neither, or beyond what a double holds exactly.
 */
export function parseTarNumber(block: Buffer, from: number, to: number): number | undefined {
  const first = block[from] ?? 0;
  if (first === 0x80 || first === 0xff) return parseBase256(block, from, to);
  let at = first === 0 ? from + 1 : from;
  while (at < to && isBlank(block[at])) at++;
  if (at === to) return undefined;
  let value = 0;
  for (let digit = block[at] ?? 0; at < to && digit >= 0x30 && digit <= 0x37; digit = block[++at] ?? 0) {
    value = value * 8 + digit - 0x30;
  }
  const ended = at === to || block[at] === 0 || isBlank(block[at]);
  return ended && Number.isSafeInteger(value) ? value : undefined;
}

function parseBase256(block: Buffer, from: number, to: number): number | undefined {
  let value = block[from] === 0xff ? -1n : 0n;
  for (let at = from + 1; at < to; at++) value = value * 256n + BigInt(block[at] ?? 0);
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : undefined;
}

function isBlank(byte: number | undefined): boolean {
  return byte === 0x20 || (byte !== undefined && byte >= 0x09 && byte <= 0x0d);
}

/** Sums of the block's bytes with the checksum field read as blanks; old tars summed signed bytes. */
function checksums(block: Buffer): { unsigned: number; signed: number } {
  let unsigned = 8 * 0x20;
  let high = 0;
  for (let at = 0; at < BLOCK_BYTES; at++) {
    if (at === CHECKSUM.from) at = CHECKSUM.to;
    const byte = block[at] ?? 0;
    unsigned += byte;
    high += byte >> 7;
  }
  return { unsigned, signed: unsigned - 256 * high };
}

/** Only a POSIX header has a prefix: old GNU tars keep times there. */
function fullName(block: Buffer): Buffer {
  const name = textField(block, NAME);
  if (block[PREFIX.from] === 0 || block.compare(POSIX_MAGIC, 0, 6, MAGIC_OFFSET, MAGIC_OFFSET + 6) !== 0) return name;
  return Buffer.concat([textField(block, PREFIX), Buffer.from("/"), name]);
}

function textField(block: Buffer, field: { readonly from: number; readonly to: number }): Buffer {
  const end = block.indexOf(0, field.from);
  return block.subarray(field.from, end === -1 || end > field.to ? field.to : end);
}
