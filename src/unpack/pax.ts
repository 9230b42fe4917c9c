import { secondsOf } from "./file-time.ts";
import { refuseTar } from "./refusal.ts";

/**
 * The records of PAX headers that a reader needs, by key; values are bytes. An empty value deletes what the key had
 * before, in the headers for all entries and in the entry's own block (POSIX.1-2017, pax, "Extended Header").
 */
export type PaxRecords = Map<string, Buffer>;

const NUMBER = /^(-?)([0-9]{1,20})(?:\.([0-9]*))?$/;
const entryKeys = ["path", "linkpath", "size", "uid", "gid", "mtime"];
const sparseKeys = ["major", "name", "map", "size", "realsize"].map((key) => `GNU.sparse.${key}`);
/** In GNU's oldest format the regions of a sparse file have a record for each number. */
const regionKeys: ReadonlySet<string> = new Set(["GNU.sparse.offset", "GNU.sparse.numbytes"]);
const keptKeys: ReadonlySet<string> = new Set([...entryKeys, ...sparseKeys, ...regionKeys]);

/**
 * Hands each record in the body of a PAX header to `keep`, its value as a view of the body. Keys that no reader here needs
 * are checked and dropped, so that what is kept stays small. Throws "refused" if the body is malformed.
 */
export function readPaxRecords(body: Buffer, keep: (key: string, value: Buffer) => void): void {
  for (let at = 0; at < body.length && body[at] !== 0; ) {
    const blank = body.indexOf(0x20, at);
    const digits = blank === -1 || blank - at > 10 ? "" : body.toString("latin1", at, blank);
    const end = /^[0-9]+$/.test(digits) ? at + Number(digits) : Number.NaN;
    if (!(end > blank + 1 && end <= body.length)) throw refuseTar("a record in a PAX header has a wrong length");
    if (body[end - 1] !== 0x0a) throw refuseTar("a record in a PAX header does not end where it says");
    const equals = body.indexOf(0x3d, blank);
    if (equals === -1 || equals >= end) throw refuseTar("a record in a PAX header has no value");
    const key = body.toString("latin1", blank + 1, equals);
    if (keptKeys.has(key)) keep(key, body.subarray(equals + 1, end - 1));
    at = end;
  }
}

/** The records of a header for one entry; the numbers of a sparse file's regions are put together as `GNU.sparse.map`. */
export function readEntryPax(body: Buffer): PaxRecords {
  const records: PaxRecords = new Map();
  const regions: string[] = [];
  readPaxRecords(body, (key, value) => {
    if (regionKeys.has(key)) regions.push(value.toString("latin1"));
    else records.set(key, value);
  });
  if (regions.length > 0) records.set("GNU.sparse.map", Buffer.from(regions.join(",")));
  return records;
}

/** A decimal number of a PAX record, fractions allowed. Undefined if it is none. */
export function parsePaxNumber(value: Buffer): number | undefined {
  const text = value.toString("latin1");
  return NUMBER.test(text) ? Number(text) : undefined;
}

/** A time of a PAX record as seconds; undefined if it is none. */
export function parsePaxTime(value: Buffer): number | undefined {
  const [, sign, whole = "", fraction = ""] = NUMBER.exec(value.toString("latin1")) ?? [];
  if (whole === "") return undefined;
  if (sign === "-" || fraction === "" || whole.length > 12) return parsePaxNumber(value);
  return secondsOf(BigInt(whole) * 1_000_000_000n + BigInt(fraction.slice(0, 9).padEnd(9, "0")));
}
