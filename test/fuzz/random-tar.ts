import { gzipSync, zstdCompressSync } from "node:zlib";
import {
  base256,
  gnuLong,
  paxEntry,
  TAR_END,
  type TarFields,
  tarEntry,
  tarOf,
  writeChecksum,
} from "../fixtures/tar-builder.ts";
import { mutateBytes, mutateUnits } from "./mutate.ts";
import type { Prng } from "../helpers/prng.ts";

const BLOCK = 512;
const CHECKSUM_FROM = 148;
/** Where the fields of a header begin: names, numbers, type, link, magic, devices, prefix. */
const fieldStarts: readonly [number, ...number[]] = [
  0, 100, 108, 116, 124, 136, 148, 156, 157, 257, 263, 329, 337, 345,
];
const typeFlags: readonly [string, ...string[]] = ["0", ..."1234567\0xgXLKSMVDNA"];
const long = "n".repeat(90);

/** Tars without a fault, of every dialect. */
const goodTars: readonly [Buffer, ...Buffer[]] = [
  tarOf(
    { name: "./", type: "5", mode: 0o755 },
    { name: "./d/", type: "5", mode: 0o700, mtime: 1_600_000_000 },
    { name: "./d/f", data: "content", mode: 0o4755 },
    { name: "./d/s", type: "2", linkName: "f" },
    { name: "./d/h", type: "1", linkName: "d/f" },
    { name: "./empty" },
  ),
  tarOf(
    paxEntry({ comment: "x", mtime: "1.5" }, "g"),
    paxEntry({ path: `${long}/`.repeat(3) + long, mtime: "-3.25", size: "5" }),
    { name: "short", data: "12345" },
    paxEntry({ linkpath: "../".repeat(60), uid: "70000000000" }),
    { name: "s", type: "2" },
    paxEntry({ "SCHILY.xattr.user.a": Buffer.from([1, 0, 10, 255]) }),
    { name: "big", data: Buffer.alloc(3 * BLOCK, "b") },
  ),
  tarOf(
    gnuLong("L", `${long}/`.repeat(4) + long),
    gnuLong("K", "k".repeat(300)),
    { name: "short", type: "2", format: "gnu" },
    { name: "base256", format: "gnu", data: "12", size: base256(2) },
    { name: "label", type: "V", format: "gnu" },
    { name: "dump", type: "D", format: "gnu", data: "Yf\0\0" },
  ),
  tarOf(
    { name: "v7/", format: "v7", mode: 0o755 },
    { name: "v7/f", format: "v7", data: "x", checksum: "signed" },
    { name: "f", prefix: "p/q", data: "y" },
    { name: "fifo", type: "6" },
    { name: "null", type: "3" },
    { name: Buffer.from([0xff, 0x20, 0x0a, 0xc3]), data: "name of bytes" },
  ),
];

/** What a try unpacks. */
export interface RandomTar {
  readonly bytes: Buffer;
  /** How it was packed before its last mutation, if it had one then. */
  readonly packing: "none" | "gzip" | "zstd";
}

/** A tar with faults, or with entries in each other's way. `outside` are paths that an entry should never reach. */
export function randomTar(outside: readonly string[], prng: Prng): RandomTar {
  let tar = prng.oneIn(2) ? inventTar(outside, prng) : prng.pick(goodTars);
  const other = prng.pick(goodTars);
  for (let left = prng.below(4); left > 0; left--) tar = mutateTar(tar, other, outside, prng);
  const packing = prng.pick<RandomTar["packing"]>(["none", "none", "gzip", "zstd"]);
  let bytes = pack(tar, packing);
  if (packing !== "none" && prng.oneIn(4)) bytes = Buffer.concat([bytes, pack(other, prng.pick([packing, "none"]))]);
  if (packing !== "none" && prng.oneIn(2)) bytes = mutateBytes(bytes, pack(other, packing), prng);
  return { bytes, packing };
}

function pack(tar: Buffer, packing: RandomTar["packing"]): Buffer {
  if (packing === "gzip") return gzipSync(tar, { level: 1 });
  return packing === "zstd" ? zstdCompressSync(tar) : tar;
}

/** Entries of all types whose few names collide. */
function inventTar(outside: readonly string[], prng: Prng): Buffer {
  const parts = Array.from({ length: 1 + prng.length(40) }, () => inventEntry(outside, prng));
  return Buffer.concat([...parts, prng.oneIn(4) ? Buffer.alloc(0) : TAR_END]);
}

function inventEntry(outside: readonly string[], prng: Prng): Buffer {
  const name = inventPath(outside, prng);
  const linkName = inventPath(outside, prng);
  const before: Buffer[] = [];
  if (prng.oneIn(8)) before.push(gnuLong("L", inventPath(outside, prng)));
  if (prng.oneIn(8)) before.push(gnuLong("K", inventPath(outside, prng)));
  if (prng.oneIn(8)) before.push(paxEntry(inventRecords(outside, prng), prng.oneIn(4) ? "g" : "x"));
  const fields: TarFields = {
    name,
    linkName,
    type: prng.oneIn(8) ? prng.pick(typeFlags) : prng.pick(["0", "0", "1", "2", "5"]),
    data: prng.oneIn(2) ? "" : Buffer.alloc(prng.length(4 * BLOCK), "d"),
    mode: prng.below(0o10000),
    mtime: prng.below(2 ** 31),
    format: prng.pick(["ustar", "ustar", "gnu", "v7"]),
  };
  const isLink = fields.type === "1" || fields.type === "2" || fields.type === "5";
  return Buffer.concat([...before, tarEntry(isLink && !prng.oneIn(8) ? { ...fields, data: "" } : fields)]);
}

function inventRecords(outside: readonly string[], prng: Prng): Record<string, string> {
  const number = prng.pick([
    "0",
    "-1",
    "7",
    "1e3",
    "0.5",
    ".5",
    "-0.1",
    "9007199254740993",
    "99999999999999999999",
    "",
  ]);
  return prng.pick<Record<string, string>>([
    { path: inventPath(outside, prng) },
    { linkpath: inventPath(outside, prng) },
    { mtime: number },
    { size: number },
    { uid: number, gid: number },
    { path: "" },
    { "GNU.sparse.map": inventNumbers(prng).join(","), "GNU.sparse.name": inventPath(outside, prng), ...sparseSize },
    { "GNU.sparse.major": "1", ...sparseSize },
  ]);
}

const sparseSize = { "GNU.sparse.realsize": "5000" };

function inventNumbers(prng: Prng): number[] {
  return Array.from({ length: 1 + prng.below(6) }, () => prng.pick([0, 1, 2, 511, 512, 4000, 4999, 5000, 5001]));
}

function inventPath(outside: readonly string[], prng: Prng): string {
  if (prng.oneIn(24)) return outside[prng.below(outside.length)] ?? "";
  if (prng.oneIn(48)) return `${prng.pick(["a", "\u00fc", " "]).repeat(prng.length(300))}/`.repeat(prng.length(64));
  const parts = Array.from({ length: 1 + prng.below(4) }, () => prng.pick(["a", "b", "a", "b", "c"]));
  if (prng.oneIn(8))
    parts.splice(prng.below(parts.length), 0, prng.pick([".wh.a", ".wh.b", ".wh..wh..opq", ".wh..wh.plnk", ".wh."]));
  if (prng.oneIn(16)) parts.splice(prng.below(parts.length), 0, prng.pick(["..", ".", "", "...", "\n"]));
  return parts.join("/") + (prng.oneIn(8) ? "/" : "");
}

function mutateTar(tar: Buffer, other: Buffer, outside: readonly string[], prng: Prng): Buffer {
  if (prng.oneIn(6)) return mutateBytes(tar, other, prng);
  if (prng.oneIn(3)) return mutateUnits(tar, other, BLOCK, prng);
  return mutateHeader(tar, outside, prng);
}

/** One field of one header changed, and the checksum made to fit. */
function mutateHeader(tar: Buffer, outside: readonly string[], prng: Prng): Buffer {
  const mutated = Buffer.from(tar);
  const headers = headersOf(tar);
  const at = headers[prng.below(headers.length)];
  if (at === undefined) return mutated;
  const block = mutated.subarray(at, at + BLOCK);
  const start = prng.pick(fieldStarts);
  switch (prng.below(5)) {
    case 0:
      block.write(prng.pick(typeFlags), 156, "latin1");
      break;
    case 1:
      block.write(`${inventPath(outside, prng).slice(0, 99)}\0`, prng.pick([0, 157, 345]), "latin1");
      break;
    case 2:
      base256(prng.pick([-1, 0, 1, 512, 2 ** 31, 2 ** 33, 2 ** 53, -(2 ** 40)])).copy(block, prng.pick([124, 136]));
      break;
    case 3:
      block.write(
        prng.pick(["77777777777", "00000000000\0", "           ", "8", "-1", "1 ", "\0\0\0\0"]),
        start,
        "latin1",
      );
      break;
    default:
      prng.bytes(1 + prng.below(12)).copy(block, start);
  }
  if (!prng.oneIn(16)) writeChecksum(block, "unsigned");
  return mutated;
}

/** Where blocks begin that look like headers. */
function headersOf(tar: Buffer): number[] {
  return Array.from({ length: Math.floor(tar.length / BLOCK) }, (_, number) => number * BLOCK).filter((from) =>
    /^[0-7]{6}\0 $/.test(tar.toString("latin1", from + CHECKSUM_FROM, from + CHECKSUM_FROM + 8)),
  );
}
