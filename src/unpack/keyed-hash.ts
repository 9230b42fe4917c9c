import { randomBytes } from "node:crypto";

/** Two secret words. With a key of its own, nobody can prepare names that all fall into one place of a hash table. */
export type HashKey = readonly [number, number];

const FINAL_ROUNDS = 3;

/** A fresh key. */
export function createHashKey(): HashKey {
  const bytes = randomBytes(8);
  return [bytes.readInt32LE(0), bytes.readInt32LE(4)];
}

/** HalfSipHash-1-3 (32 bits) of a number, then the bytes from `start` to `end`. */
export function keyedHash(key: HashKey, number: number, bytes: Uint8Array, start: number, end: number): number {
  const words = 1 + ((end - start) >>> 2) + 1;
  let [a, b] = key;
  let c = 0x6c796765 ^ a;
  let d = 0x74656462 ^ b;
  for (let i = 0; i < words + FINAL_ROUNDS; i++) {
    const word = i === 0 ? number | 0 : i < words ? wordAt(bytes, start + 4 * (i - 1), end, end - start) : 0;
    if (i === words) c ^= 0xff;
    d ^= word;
    a = (a + b) | 0;
    b = rotate(b, 5) ^ a;
    a = rotate(a, 16);
    c = (c + d) | 0;
    d = rotate(d, 8) ^ c;
    a = (a + d) | 0;
    d = rotate(d, 7) ^ a;
    c = (c + b) | 0;
    b = rotate(b, 13) ^ c;
    c = rotate(c, 16);
    a ^= word;
  }
  return (b ^ d) >>> 0;
}

/** Four bytes as a little-endian word; the last word holds what is left, and the length. */
function wordAt(bytes: Uint8Array, at: number, end: number, length: number): number {
  if (at + 4 <= end) {
    return (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24);
  }
  let word = length << 24;
  for (let i = 0; at + i < end; i++) word |= (bytes[at + i] ?? 0) << (8 * i);
  return word;
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}
