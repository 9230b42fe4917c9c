import { lstatSync, type Stats } from "node:fs";
import { DriverError, describeError, errnoOf, type FileHasher, isUnreadable, withShortPath } from "../base/index.ts";
import { LayerIndexReader } from "./layer-index-reader.ts";
import type { LayerRow } from "./layer-row.ts";

/** One thing in an unpacked layer that is not what its index says. */
export interface LayerFault {
  /** Relative to the layer's folder; empty for its index, or for the folder itself. */
  readonly path: Buffer;
  /** Completes a sentence that begins with the path: "is missing". */
  readonly says: string;
  /** Of the file that has wrong bytes, where it is one. */
  readonly inode: number | undefined;
}

/** What checking a layer needs. */
export interface LayerCheckOptions {
  readonly indexFile: string;
  readonly folder: string;
  readonly hasher: FileHasher;
  /** Told of each file whose content is right, once for each of its names that was hashed. */
  readonly onSound?: (inode: number) => void;
  /** Told of each fault as it is found. */
  readonly onFault: (fault: LayerFault) => void;
}

/**
 * Reads all of an unpacked layer and compares it with its index: types, sizes, content. Rejects only when it is cancelled:
 * what cannot be read is a fault, too.
 */
export async function checkLayer({ indexFile, folder, ...rest }: LayerCheckOptions): Promise<void> {
  const root = Buffer.from(folder);
  try {
    using index = new LayerIndexReader(indexFile);
    for (const row of index.rows()) {
      const path = row.path.length === 0 ? root : Buffer.concat([root, Buffer.from("/"), row.path]);
      const fault = await faultOf(row, path, index, rest);
      if (fault !== undefined) rest.onFault({ ...fault, path: Buffer.from(row.path) });
    }
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    rest.onFault({
      path: Buffer.alloc(0),
      says: `has no index that can be read: ${reasonOf(error)}`,
      inode: undefined,
    });
  }
}

type Checker = Pick<LayerCheckOptions, "hasher" | "onSound">;

async function faultOf(
  row: LayerRow,
  path: Buffer,
  index: LayerIndexReader,
  { hasher, onSound }: Checker,
): Promise<Omit<LayerFault, "path"> | undefined> {
  const found = lookAt(path);
  if (typeof found === "string") return { says: found, inode: undefined };
  if (typeOf(found) !== row.type) return { says: `is no ${row.type} any more`, inode: undefined };
  if (row.type !== "file") return undefined;
  if (found.size !== row.size) return { says: `has ${found.size} bytes instead of ${row.size}`, inode: found.ino };
  try {
    if (!(await hasBytes(row, path, index, hasher)))
      return { says: "has other bytes than were written", inode: found.ino };
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    return { says: `cannot be read: ${reasonOf(error)}`, inode: found.ino };
  }
  onSound?.(found.ino);
  return undefined;
}

/** Of a sparse file only what was written is read: to read its holes might take for ever. */
async function hasBytes(row: LayerRow, path: Buffer, index: LayerIndexReader, hasher: FileHasher): Promise<boolean> {
  const sparse = row.isSparse ? index.sparseContent(row) : undefined;
  const wanted = row.isSparse ? sparse?.hash : index.contentHash(row);
  if (wanted === undefined) return true;
  return (await hasher.hash(path, "sha256", sparse?.ranges)).hex === wanted.toString("hex");
}

/** What is at a path, or why it cannot be told. */
function lookAt(path: Buffer): Stats | string {
  try {
    return withShortPath(path, (short) => lstatSync(short));
  } catch (error) {
    return errnoOf(error) === "ENOENT" ? "is missing" : `cannot be looked at: ${reasonOf(error)}`;
  }
}

function typeOf(found: Stats): string {
  if (found.isDirectory()) return "folder";
  if (found.isFile()) return "file";
  return found.isSymbolicLink() ? "symlink" : "other";
}

/** Without the path, which may be long: the fault names it. */
function reasonOf(error: unknown): string {
  return error instanceof DriverError ? error.message : (errnoOf(error) ?? describeError(error));
}
