import type { Prng } from "../helpers/prng.ts";

const oddNumbers: readonly [number, ...number[]] = [0, 1, 0x20, 0x2e, 0x2f, 0x30, 0x37, 0x7f, 0x80, 0xfe, 0xff];

/** Bytes with up to four changes: bits flipped, bytes set, parts cut out, doubled, moved, or taken from `other`. */
export function mutateBytes(bytes: Buffer, other: Buffer, prng: Prng): Buffer {
  let mutated: Buffer = Buffer.from(bytes);
  for (let left = 1 + prng.below(4); left > 0; left--) mutated = mutateOnce(mutated, other, prng);
  return mutated;
}

/** As `mutateBytes`, but parts begin and end at multiples of `unit`. */
export function mutateUnits(bytes: Buffer, other: Buffer, unit: number, prng: Prng): Buffer {
  const from = unit * prng.below(bytes.length / unit);
  const end = from + unit * (1 + prng.length(16));
  const [before, part, after] = [bytes.subarray(0, from), bytes.subarray(from, end), bytes.subarray(end)];
  const otherFrom = unit * prng.below(other.length / unit);
  const otherPart = other.subarray(otherFrom, otherFrom + unit * (1 + prng.length(16)));
  return Buffer.concat(
    prng.pick([
      [before, after],
      [before, part, part, after],
      [before, otherPart, after],
      [before, otherPart, part, after],
      [part, before, after],
      [before, part],
      [before, Buffer.alloc(unit), part, after],
    ]),
  );
}

function mutateOnce(bytes: Buffer, other: Buffer, prng: Prng): Buffer {
  const at = prng.below(bytes.length);
  switch (prng.below(5)) {
    case 0:
      bytes[at] = (bytes[at] ?? 0) ^ (1 << prng.below(8));
      return bytes;
    case 1:
      bytes[at] = prng.pick(oddNumbers);
      return bytes;
    case 2:
      return Buffer.concat([bytes.subarray(0, at), prng.bytes(prng.length(64)), bytes.subarray(at)]);
    case 3:
      return bytes.subarray(0, bytes.length - prng.length(bytes.length + 1));
    default:
      return mutateUnits(bytes, other, 1, prng);
  }
}
