import { type PaxRecords, parsePaxNumber, parsePaxTime } from "./pax.ts";
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
  /** As many of them as are written: the rest are a sparse file's holes. */
  readonly contentBytes: number;
  readonly isSparse: boolean;
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
const flag = { continued: 0x4d, dumpFolder: 0x44 } as const;
/** The type of a sparse file in old GNU headers. */
export const OLD_SPARSE = 0x53;
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
 * the records for one entry win over those for all. Of a sparse file this is what the tar holds of it. Throws "refused" for
 * numbers that are none, names with a NUL inside, and split files, which cannot be unpacked.
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
  const name = overrides.pax?.get("GNU.sparse.name") ?? record("path") ?? overrides.longName ?? header.name;
  const linkName = record("linkpath") ?? overrides.longLinkName ?? header.linkName;
  if (header.type === flag.continued) throw refuseEntry(name, "it is the rest of a file that begins in another tar");
  if (name.includes(0)) throw refuseEntry(name, "there is a NUL byte inside its name");
  if (linkName.includes(0)) throw refuseEntry(name, "there is a NUL byte inside its link's target");
  const number = (key: "size" | "mode" | "uid" | "gid" | "mtime"): number => {
    const text = record(key);
    const parse = key === "mtime" ? parsePaxTime : parsePaxNumber;
    const value = text === undefined ? header[key] : parse(text);
    if (value === undefined) throw refuseEntry(name, `its ${key} is no number, or too large a one`);
    return value;
  };
  const isFolderName = name.at(-1) === 0x2f && header.type !== OLD_SPARSE;
  const type = typeOfFlag.get(header.type) ?? (isFolderName ? "folder" : "file");
  const hasPayload = type === "file" || type === "label" || header.type === flag.dumpFolder;
  const payload = hasPayload ? number("size") : 0;
  if (!Number.isSafeInteger(payload) || payload < 0) throw refuseEntry(name, `its size is said to be ${payload} bytes`);
  const entry: TarEntry = {
    type,
    name,
    linkName: type === "symlink" || type === "hard-link" ? linkName : NOTHING,
    size: type === "file" ? payload : 0,
    contentBytes: type === "file" ? payload : 0,
    isSparse: false,
    mode: number("mode") & 0o7777,
    uid: number("uid"),
    gid: number("gid"),
    mtime: number("mtime"),
  };
  return { entry, payload };
}
