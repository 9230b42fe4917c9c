import { DriverError } from "../base/index.ts";
import { quoteName, refuseEntry } from "./refusal.ts";

/** Limits of contract.md ("Limits") on a path below a volume's root, and the kernel's on one name. */
const MAX_DEPTH = 255;
const MAX_PATH_BYTES = 4095;
const MAX_PART_BYTES = 255;

/** A relative path, cleaned: no empty parts, no `.`, no `..`, at most the limits above. The root has no parts. */
export interface CleanPath {
  readonly bytes: Buffer;
  /** Where each part ends in `bytes`; the next one begins a slash later. */
  readonly ends: readonly number[];
}

const SLASH = 0x2f;
const DOT = 0x2e;

/**
 * The name of a tar's entry, or the target of a hard link, as a path below the root: cleaned lexically, so `..` takes
 * back the part before it. Throws "refused", naming the entry, for what is absolute, leaves the root or is over a limit.
 */
export function cleanEntryPath(path: Buffer, entryName: Buffer): CleanPath {
  const what = path === entryName ? "its name" : `its target ${quoteName(path)}`;
  return cleanPath(path, (why) => refuseEntry(entryName, `${what} ${why}`));
}

/**
 * A layer's title as a relative POSIX path (a backslash is a plain character); `.` is the root. Throws "refused", naming
 * the title, for what is empty, absolute, leaves the root or is over a limit.
 */
export function cleanTitle(title: string): string {
  const bytes = Buffer.from(title);
  const refuse = (why: string) =>
    new DriverError("refused", `cannot make a file of layer ${quoteName(bytes)}: its title ${why}`);
  if (bytes.includes(0)) throw refuse("has a NUL byte inside");
  const clean = cleanPath(bytes, refuse);
  return clean.ends.length === 0 ? "." : clean.bytes.toString();
}

/** A clean path that was put together from two: the same if it is within the limits. Throws "refused", naming it. */
export function requirePathLimits(path: Buffer): Buffer {
  cleanEntryPath(path, path);
  return path;
}

function cleanPath(path: Buffer, refuse: (why: string) => DriverError): CleanPath {
  if (path.length === 0) throw refuse("is empty");
  if (path[0] === SLASH) throw refuse("is an absolute path");
  const parts: Buffer[] = [];
  let isClean = true;
  for (let from = 0; from < path.length; ) {
    const slash = path.indexOf(SLASH, from);
    const part = path.subarray(from, slash === -1 ? path.length : slash);
    from += part.length + 1;
    if (isParent(part)) {
      if (parts.pop() === undefined) throw refuse("leads out of its folder");
      isClean = false;
    } else if (part.length === 0 || isCurrent(part)) {
      isClean = false;
    } else {
      if (part.length > MAX_PART_BYTES) throw refuse(`has a part of more than ${MAX_PART_BYTES} bytes`);
      if (parts.push(part) > MAX_DEPTH) throw refuse(`has more than ${MAX_DEPTH} parts`);
    }
  }
  const ends = endsOf(parts);
  const length = ends.at(-1) ?? 0;
  if (length > MAX_PATH_BYTES) throw refuse(`has more than ${MAX_PATH_BYTES} bytes`);
  return { bytes: isClean ? path.subarray(0, length) : joinParts(parts, length), ends };
}

function endsOf(parts: readonly Buffer[]): readonly number[] {
  const ends: number[] = [];
  let end = -1;
  for (const part of parts) {
    end += 1 + part.length;
    ends.push(end);
  }
  return ends;
}

function joinParts(parts: readonly Buffer[], length: number): Buffer {
  const bytes = Buffer.alloc(length, SLASH);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length + 1;
  }
  return bytes;
}

function isCurrent(part: Buffer): boolean {
  return part.length === 1 && part[0] === DOT;
}

function isParent(part: Buffer): boolean {
  return part.length === 2 && part[0] === DOT && part[1] === DOT;
}
