import { createZstdDecompress } from "node:zlib";
import type { ByteSource } from "./byte-source.ts";
import { gunzip, isGzip } from "./gzip-members.ts";
import { INFLATER_OPTIONS, inflate } from "./inflater.ts";

/** How a tar is packed. Its first bytes say so, never its media type (contract.md, "What an artifact becomes"). */
export type Packing = "gzip" | "zstd" | "none";

const ZSTD_MAGIC = 0xfd2fb528;
/** Frames without content have any of 16 magic numbers (RFC 8878, section 3.1.2). */
const SKIPPABLE_MAGIC = 0x184d2a50;

/** So many first bytes say how a tar is packed. */
export const PACKING_BYTES = 4;

/** How the tar in the source is packed. Takes nothing from it. */
export async function packingOf(source: ByteSource): Promise<Packing> {
  return packingFrom(await source.peek(PACKING_BYTES));
}

/** How a tar with these first bytes is packed. */
export function packingFrom(start: Buffer): Packing {
  if (isGzip(start)) return "gzip";
  return isZstd(start) ? "zstd" : "none";
}

/** The tar in the source, unpacked, in parts. What follows the compressed data is read and ignored. */
export async function* decompress(source: ByteSource, packing: Packing): AsyncGenerator<Buffer> {
  if (packing === "gzip") yield* gunzip(source);
  if (packing === "zstd") yield* unzstd(source);
  for (let part = await source.next(); part !== undefined; part = await source.next()) {
    if (packing === "none") yield part;
  }
}

/** All frames, one after the other. Node reads them in one go, Deno ends at each frame's end: the loop suits both. */
async function* unzstd(source: ByteSource): AsyncGenerator<Buffer> {
  do yield* inflate(createZstdDecompress(INFLATER_OPTIONS), source);
  while (isZstd(await source.peek(4)));
}

function isZstd(start: Buffer): boolean {
  if (start.length < 4) return false;
  const magic = start.readUInt32LE(0);
  return magic === ZSTD_MAGIC || (magic & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC;
}
