import { readlinkSync, type Stats } from "node:fs";
import { below, DriverError, errnoOf, isUnreadable, withShortPath } from "../base/index.ts";
import { BLOB_MODE } from "../cache/index.ts";
import { digestParts } from "../oci/index.ts";
import { Column, describeModes, KnownNames } from "../unpack/index.ts";
import type { TreeCheckOptions } from "./tree-check.ts";
import { entriesOf, imageEntries, type TreeEntry } from "./tree-entries.ts";
import { TreeFaults } from "./tree-faults.ts";
import { FOLDER, LOST_FOLDER, lookAt, OTHER, Turns } from "./tree-walk.ts";
import { isMostlyHoles, type UnknownFiles } from "./unknown-files.ts";

type FolderEntry = TreeEntry & { readonly type: "folder" };
type LinkEntry = TreeEntry & { readonly type: "link" };
type BlobEntry = TreeEntry & { readonly type: "blob" };

const MODE_BITS = 0o7777;
const IMPLIED_MODE = 0o755;
/** In place of a mode and 1: what should say it is not as it should be itself. */
const ANY_MODE = 0xffff;

/** Compares each name that a tree should have with what is there. */
export class TreeComparison implements Disposable {
  readonly faults = new TreeFaults();
  /** What the tree should have, marked by what was found. */
  readonly names = new KnownNames();
  readonly #options: TreeCheckOptions;
  readonly #unknown: UnknownFiles;
  readonly #root: Buffer;
  readonly #turns: Turns;
  readonly #isImage: boolean;
  /** Modes of folders by the names' rows: those that they have; those that they should have and 1, or 0. */
  readonly #hasModes = new Column("u16");
  readonly #wantedModes = new Column("u16");

  constructor(options: TreeCheckOptions, unknown: UnknownFiles) {
    const { tree, parts, layout, signal } = options;
    this.#options = options;
    this.#unknown = unknown;
    this.#root = Buffer.from(layout.treeFolder(tree.id));
    this.#turns = new Turns(signal);
    this.#isImage = parts?.some(({ kind }) => kind === "image") ?? false;
  }

  [Symbol.dispose](): void {
    this.names[Symbol.dispose]();
    this.#hasModes.free();
    this.#wantedModes.free();
  }

  /** Compares all of it; false if some of its parts cannot be asked what they made. */
  async run(): Promise<boolean> {
    const { parts, layout } = this.#options;
    if (parts === undefined) return false;
    this.#lookAtFolder(Buffer.alloc(0), 0);
    let isWhole = true;
    const sources = this.#isImage ? [imageEntries(parts, layout)] : parts.map((part) => entriesOf(part, layout));
    for (const entries of sources) if (!(await this.#compareAll(entries))) isWhole = false;
    this.#compareFolderModes();
    return isWhole;
  }

  async #compareAll(entries: Iterable<TreeEntry>): Promise<boolean> {
    let isWhole = true;
    const readable = this.#whileReadable(entries, () => {
      isWhole = false;
    });
    for (const { entry, row } of readable) {
      await this.#turns.take();
      if (entry.type === "folder") this.#folder(entry, row);
      else if (this.names.mark(row) === 0) await this.#other(entry, row);
    }
    return isWhole;
  }

  /** Ends, and tells it, at a part that is gone, or that no tree can be made of any more. */
  *#whileReadable(entries: Iterable<TreeEntry>, onLost: () => void) {
    try {
      for (const entry of entries) yield { entry, row: this.names.add(entry.path) };
    } catch (error) {
      if (!(error instanceof DriverError) && errnoOf(error) === undefined) throw error;
      onLost();
    }
  }

  /** A folder of several parts has the mode of the last one that says it. */
  #folder({ path, source }: FolderEntry, row: number): void {
    if (this.names.mark(row) === 0) this.#lookAtFolder(path, row);
    if (source === undefined || this.names.mark(row) !== FOLDER) return;
    const from = lookAt(source);
    const isKnown = from?.isDirectory() === true && !this.#options.changed.has(from.ino);
    this.#wantedModes.set(row, isKnown ? (from.mode & MODE_BITS) + 1 : ANY_MODE);
    if (isKnown && this.#isImage) this.#compareOwners(path, lookAt(below(this.#root, path)), from);
  }

  #lookAtFolder(path: Buffer, row: number): void {
    const isLost = row !== 0 && this.names.mark(this.names.parent(row)) === LOST_FOLDER;
    const found = isLost ? undefined : lookAt(below(this.#root, path));
    this.names.setMark(row, found?.isDirectory() === true ? FOLDER : LOST_FOLDER);
    if (found?.isDirectory()) this.#hasModes.set(row, found.mode & MODE_BITS);
    else if (found !== undefined) this.faults.add("type", path, "is no folder any more");
    else if (!isLost) this.faults.add("missing", path);
  }

  #compareFolderModes(): void {
    for (let row = 0; row < this.names.size; row++) {
      const wanted = this.#wantedModes.get(row);
      if (this.names.mark(row) !== FOLDER || wanted === ANY_MODE) continue;
      const should = wanted === 0 ? IMPLIED_MODE : wanted - 1;
      const has = this.#hasModes.get(row);
      if (has !== should) this.faults.add("mode", this.names.path(row), `has ${describeModes(has, should)}`);
    }
  }

  /** What should be in a folder that is not there is not told by itself. */
  async #other(entry: LinkEntry | BlobEntry, row: number): Promise<void> {
    this.names.setMark(row, OTHER);
    if (this.names.mark(this.names.parent(row)) === LOST_FOLDER) return;
    const found = lookAt(below(this.#root, entry.path));
    if (found === undefined) this.faults.add("missing", entry.path);
    else if (entry.type === "link") await this.#link(entry, found);
    else await this.#blob(entry, found);
  }

  async #link({ path, source }: LinkEntry, found: Stats): Promise<void> {
    const from = lookAt(source);
    if (from !== undefined && from.ino === found.ino) this.#sameFile(path, found);
    else if (from === undefined || this.#options.wrong.has(from.ino)) {
      if (found.isFile()) await this.#unknown.add(path, found, this.faults);
    } else if (from.isSymbolicLink()) this.#compareLinks(path, found, source);
    else if (this.#isFile(path, found)) {
      if (!this.#options.changed.has(from.ino)) this.#compareModes(path, found, from.mode & MODE_BITS);
      if (this.#isImage) this.#compareOwners(path, found, from);
      await this.#compareContent(path, found, from.size, () => this.#hash(source));
    }
  }

  async #blob({ path, part, mode }: BlobEntry, found: Stats): Promise<void> {
    const { digest, size } = part.descriptor;
    const { algorithm, hex } = digestParts(digest);
    const blob = lookAt(Buffer.from(this.#options.layout.blob(digest)));
    if (blob?.ino === found.ino && mode === BLOB_MODE) this.#sameFile(path, found);
    else if (this.#isFile(path, found)) {
      this.#compareModes(path, found, mode);
      await this.#compareContent(path, found, size, async () => hex, algorithm);
    }
  }

  /** What was read of the file before goes for the tree's name of it. */
  #sameFile(path: Buffer, found: Stats): void {
    const { wrong, changed } = this.#options;
    if (wrong.has(found.ino)) this.faults.add(found.isSymbolicLink() ? "target" : "bytes", path);
    else if (changed.has(found.ino)) this.faults.add("mode", path);
  }

  #isFile(path: Buffer, found: Stats): boolean {
    if (!found.isFile()) this.faults.add("type", path, "is no file any more");
    return found.isFile();
  }

  #compareLinks(path: Buffer, found: Stats, source: Buffer): void {
    if (!found.isSymbolicLink()) this.faults.add("type", path, "is no symlink any more");
    else if (!targetOf(below(this.#root, path)).equals(targetOf(source))) this.faults.add("target", path);
  }

  #compareModes(path: Buffer, found: Stats, should: number): void {
    const has = found.mode & MODE_BITS;
    if (has !== should) this.faults.add("mode", path, `has ${describeModes(has, should)}`);
  }

  #compareOwners(path: Buffer, found: Stats | undefined, { uid, gid }: Stats): void {
    if (found !== undefined && (found.uid !== uid || found.gid !== gid)) this.faults.add("owner", path);
  }

  /** Of a file that is no link to what it should be. */
  async #compareContent(
    path: Buffer,
    found: Stats,
    size: number,
    wanted: () => Promise<string>,
    algorithm?: string,
  ): Promise<void> {
    if (found.size !== size) this.faults.add("bytes", path);
    else if (isMostlyHoles(found)) this.#unknown.leaveOut();
    else {
      try {
        const has = await this.#hash(below(this.#root, path), algorithm);
        if (has !== (await wanted())) this.faults.add("bytes", path);
      } catch (error) {
        if (!isUnreadable(error)) throw error;
        this.faults.add("bytes", path);
      }
    }
  }

  async #hash(path: Buffer, algorithm?: string): Promise<string> {
    return (await this.#options.hasher.hash(path, algorithm)).hex;
  }
}

function targetOf(path: Buffer): Buffer {
  return withShortPath(path, (short) => readlinkSync(short, { encoding: "buffer" }));
}
