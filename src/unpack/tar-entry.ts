import { isSparse, type PaxRecords, parsePaxNumber } from "./pax.ts";
import { refuseEntry } from "./refusal.ts";
import type { TarHeader } from "./tar-header.ts";

/** What an entry makes; "special" is a device node or a FIFO, "label" the name of a whole tar: it makes nothing. */
export type TarEntryType = "file" | "folder" | "symlink" | "hard-link" | "special" | "label";

/** One entry of a tar, all its headers merged. The names are bytes, valid only during the call that hands them over. */
export interface TarEntry {
  readonly type: TarEntryType;
  readonly name: Buffer;
  /** Target of a symlink or hard link, else empty. */
  readonly linkName: Buffer;
  /** Bytes of content: 0 for all that is no file. */
  readonly size: number;
  /** Permission bits, setuid, setgid and sticky included. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since 1970, with a fraction where the tar has one. */
  readonly mtime: number;
}

/** What headers in front of an entry say about it: PAX records, GNU's long names. */
export interface EntryOverrides {
  pax: PaxRecords | undefined;
  longName: Buffer | undefined;
  longLinkName: Buffer | undefined;
}

const NOTHING = Buffer.alloc(0);
const flag = { continued: 0x4d, sparse: 0x53, dumpFolder: 0x44 } as const;
const typeOfFlag: ReadonlyMap<number, TarEntryType> = new Map([
  [0x31, "hard-link"],
  [0x32, "symlink"],
  [0x33, "special"],
  [0x34, "special"],
  [0x35, "folder"],
  [0x36, "special"],
  [flag.dumpFolder, "folder"],
  [0x56, "label"],
]);

/**
 * One entry from its header and what came before it, and the bytes of payload that follow in the tar: links, folders and
 * devices have none, whatever their size field says. A PAX record wins over GNU's long name, which wins over the header;
 * the records for one entry win over those for all. Throws "refused" for numbers that are none, names with a NUL inside,
 * and what cannot be unpacked: sparse and split files.
 */
export function mergeEntry(
  header: TarHeader,
  overrides: EntryOverrides,
  globalPax: PaxRecords,
): { readonly entry: TarEntry; readonly payload: number } {
  const record = (key: string): Buffer | undefined => {
    const value = overrides.pax?.get(key) ?? globalPax.get(key);
    return value === undefined || value.length === 0 ? undefined : value;
  };
  const name = record("path") ?? overrides.longName ?? header.name;
  const linkName = record("linkpath") ?? overrides.longLinkName ?? header.linkName;
  if (header.type === flag.sparse || (overrides.pax !== undefined && isSparse(overrides.pax))) {
    throw refuseEntry(record("GNU.sparse.name") ?? name, "it is a sparse file, which this driver does not unpack");
  }
  if (header.type === flag.continued) throw refuseEntry(name, "it is the rest of a file that begins in another tar");
  if (name.includes(0)) throw refuseEntry(name, "there is a NUL byte inside its name");
  if (linkName.includes(0)) throw refuseEntry(name, "there is a NUL byte inside its link's target");
  const number = (key: "size" | "mode" | "uid" | "gid" | "mtime"): number => {
    const text = record(key);
    const value = text === undefined ? header[key] : parsePaxNumber(text);
    if (value === undefined) throw refuseEntry(name, `its ${key} is no number, or too large a one`);
    return value;
  };
  const type = typeOfFlag.get(header.type) ?? (name.at(-1) === 0x2f ? "folder" : "file");
  const hasPayload = type === "file" || type === "label" || header.type === flag.dumpFolder;
  const payload = hasPayload ? number("size") : 0;
  if (!Number.isSafeInteger(payload) || payload < 0) throw refuseEntry(name, `its size is said to be ${payload} bytes`);
  const entry: TarEntry = {
    type,
    name,
    linkName: type === "symlink" || type === "hard-link" ? linkName : NOTHING,
    size: type === "file" ? payload : 0,
    mode: number("mode") & 0o7777,
    uid: number("uid"),
    gid: number("gid"),
    mtime: number("mtime"),
  };
  return { entry, payload };
}
