import { hash } from "node:crypto";
import { chmodSync, lstatSync, readlinkSync, type Stats } from "node:fs";
import {
  below,
  counted,
  describeError,
  DriverError,
  errnoOf,
  type FileHasher,
  isUnreadable,
  withShortPath,
} from "../base/index.ts";
import { KnownNames, namesOnDisk } from "./known-names.ts";
import { LayerIndexReader } from "./layer-index-reader.ts";
import type { LayerRow } from "./layer-row.ts";
import { setRight } from "./set-right.ts";

const MODE_BITS = 0o7777;
/** The mark of the name of a folder that is there. What is in any other is not reached: a link may be in its place. */
const FOLDER = 1;
const ELSEWHERE = "leads elsewhere than it should";

/**
 * In what something differs from the index: a file's content; the mode alone; "extra": the index does not know it, so that no
 * tree shows it; "else": it is missing, of another type, or leads elsewhere.
 */
export type LayerFaultKind = "bytes" | "mode" | "extra" | "else";

/** One thing in an unpacked layer that is not what its index says. */
export interface LayerFault {
  readonly kind: LayerFaultKind;
  /** Relative to the layer's folder; empty for its index, or for the folder itself. */
  readonly path: Buffer;
  /** Completes a sentence that begins with the path: "is missing". */
  readonly says: string;
  /** Of what is there, if anything is. */
  readonly inode: number | undefined;
}

/** What checking a layer needs. */
export interface LayerCheckOptions {
  readonly indexFile: string;
  readonly folder: string;
  readonly hasher: FileHasher;
  /** Whether modes that differ are set right. They are told all the same, also those that cannot be. */
  readonly setsModes: boolean;
  /** Told of each file whose content is right, once for each of its names that was hashed. */
  readonly onSound?: (inode: number) => void;
  /** Told of each fault as it is found. */
  readonly onFault: (fault: LayerFault) => void;
}

/**
 * Reads all of an unpacked layer and compares it with its index: names, types, modes, sizes, content, what symlinks lead to.
 * Rejects only when it is cancelled: what cannot be read is a fault, too.
 */
export async function checkLayer({ indexFile, folder, ...rest }: LayerCheckOptions): Promise<void> {
  const root = Buffer.from(folder);
  // A link that is there instead leads to what is not ours: nothing of that is looked at, set right or moved aside.
  const found = lookAt(root);
  if (typeof found !== "string" && found.isSymbolicLink()) {
    rest.onFault({ kind: "else", path: Buffer.alloc(0), says: "is a symlink, and no folder", inode: undefined });
    return;
  }
  try {
    using index = new LayerIndexReader(indexFile);
    using names = new KnownNames();
    names.setMark(0, FOLDER);
    for (const row of index.rows()) {
      const path = below(root, row.path);
      const known = names.add(row.path);
      const isReached = names.mark(names.parent(known)) === FOLDER;
      if (isReached && row.type === "folder" && isFolder(path)) names.setMark(known, FOLDER);
      const fault = isReached ? await faultOf({ row, path, index }, rest) : MISSING;
      if (fault !== undefined) rest.onFault({ ...fault, path: Buffer.from(row.path) });
    }
    findExtras(names, root, rest.onFault);
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    const says = `has no index that can be read: ${reasonOf(error)}`;
    rest.onFault({ kind: "else", path: Buffer.alloc(0), says, inode: undefined });
  }
}

type Checker = Pick<LayerCheckOptions, "hasher" | "onSound" | "setsModes">;
type FoundFault = Omit<LayerFault, "path">;

const MISSING: FoundFault = { kind: "else", says: "is missing", inode: undefined };

/** A row, and where on disk it should be. */
interface Place {
  readonly row: LayerRow;
  readonly path: Buffer;
  readonly index: LayerIndexReader;
}

async function faultOf(place: Place, checker: Checker): Promise<FoundFault | undefined> {
  const { row, path } = place;
  const found = lookAt(path);
  if (typeof found === "string") return { kind: "else", says: found, inode: undefined };
  const inode = found.ino;
  if (typeOf(found) !== row.type) return { kind: "else", says: `is no ${row.type} any more`, inode };
  if (row.type === "symlink") {
    const says = targetFault(place);
    return says === undefined ? undefined : { kind: "else", says, inode };
  }
  const says = row.type === "file" ? await contentFault(place, found, checker) : undefined;
  if (says !== undefined) return { kind: "bytes", says, inode };
  const mode = found.mode & MODE_BITS;
  if (mode === row.mode) return undefined;
  const setMode = () => withShortPath(path, (short) => chmodSync(short, row.mode));
  const rest = checker.setsModes ? setRight(setMode) : "";
  return { kind: "mode", says: `has ${describeModes(mode, row.mode)}${rest}`, inode };
}

/** What is wrong with a file's content; whoever listens is told if nothing is. */
async function contentFault(place: Place, found: Stats, { hasher, onSound }: Checker): Promise<string | undefined> {
  const { row } = place;
  if (found.size !== row.size) return `has ${counted(found.size, "byte")} instead of ${row.size}`;
  try {
    if (!(await hasBytes(place, hasher))) return "has other bytes than were written";
  } catch (error) {
    return unreadable(error);
  }
  onSound?.(found.ino);
  return undefined;
}

/** What is wrong with what a symlink leads to. */
function targetFault({ row, path, index }: Place): string | undefined {
  const wanted = index.targetHash(row);
  if (wanted === undefined) return undefined;
  try {
    const target = withShortPath(path, (short) => readlinkSync(short, { encoding: "buffer" }));
    return hash("sha256", target, "buffer").equals(wanted) ? undefined : ELSEWHERE;
  } catch (error) {
    return unreadable(error);
  }
}

/** Tells of what is on disk and not in the index. */
function findExtras(names: KnownNames, root: Buffer, onFault: LayerCheckOptions["onFault"]): void {
  const folders = [{ row: 0, path: root }];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    if (typeof lookAt(folder.path) === "string") continue;
    for (const name of namesIn(folder.path, root, onFault)) {
      const row = names.find(folder.row, name);
      const path = below(folder.path, name);
      if (names.mark(row) === FOLDER && row !== 0 && isFolder(path)) folders.push({ row, path });
      if (row !== 0) continue;
      const extra = path.subarray(root.length + 1);
      onFault({ kind: "extra", path: extra, says: "should not be there", inode: undefined });
    }
  }
}

/** The names in a folder of the layer; if the disk fails, none, and that is told. */
function namesIn(folder: Buffer, root: Buffer, onFault: LayerCheckOptions["onFault"]): readonly Buffer[] {
  try {
    return namesOnDisk(folder);
  } catch (error) {
    onFault({ kind: "else", path: folder.subarray(root.length + 1), says: unreadable(error), inode: undefined });
    return [];
  }
}

/** Of a sparse file only what was written is read: to read its holes might take for ever. */
async function hasBytes({ row, path, index }: Place, hasher: FileHasher): Promise<boolean> {
  const sparse = row.isSparse ? index.sparseContent(row) : undefined;
  const wanted = row.isSparse ? sparse?.hash : index.contentHash(row);
  if (wanted === undefined) return true;
  return (await hasher.hash(path, "sha256", sparse?.ranges)).hex === wanted.toString("hex");
}

function isFolder(path: Buffer): boolean {
  const found = lookAt(path);
  return typeof found !== "string" && found.isDirectory();
}

/** What is at a path, or why it cannot be told. */
function lookAt(path: Buffer): Stats | string {
  try {
    return withShortPath(path, (short) => lstatSync(short));
  } catch (error) {
    return errnoOf(error) === "ENOENT" ? "is missing" : `cannot be looked at: ${reasonOf(error)}`;
  }
}

/** Says which mode something has, and which it should. */
export function describeModes(has: number, should: number): string {
  const [one, other] = [has, should].map((mode) => mode.toString(8).padStart(4, "0"));
  return `mode ${one} instead of ${other}`;
}

function typeOf(found: Stats): string {
  if (found.isDirectory()) return "folder";
  if (found.isFile()) return "file";
  return found.isSymbolicLink() ? "symlink" : "other";
}

/** Says why something cannot be read; throws on what is no fault of the file's or the disk's. */
function unreadable(error: unknown): string {
  if (!isUnreadable(error)) throw error;
  return `cannot be read: ${reasonOf(error)}`;
}

/** Without the path, which may be long: the fault names it. */
function reasonOf(error: unknown): string {
  return error instanceof DriverError ? error.message : (errnoOf(error) ?? describeError(error));
}
