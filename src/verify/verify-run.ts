import { chmodSync, lstatSync, renameSync, type Stats } from "node:fs";
import { opendir } from "node:fs/promises";
import { join } from "node:path";
import { below, type CallContext, errnoOf, FileHasher, isUnreadable, withShortPath } from "../base/index.ts";
import { BLOB_MODE, createLayout, type Layout } from "../cache/index.ts";
import { type Digest, digestParts, parseDigest } from "../oci/index.ts";
import { checkLayer, describeModes, isOlderIndex, type LayerFault, quoteName, setRight } from "../unpack/index.ts";
import { InodeSet } from "./inode-set.ts";
import { checkTree, type TreeCheckOutcome } from "./tree-check.ts";
import type { Fault, TreePart, TreeToVerify, VerifyCounts, VerifyJob, VerifyWorkerCalls } from "./verify-calls.ts";

type VerifyContext = CallContext<VerifyWorkerCalls["verify"]>;

const LAYER_INDEX = /^([0-9a-f]+)\.(artifact|image)\.index$/;
const MODE_BITS = 0o7777;
/** How many faulty files of one layer are named. */
const NAMED_FILES = 1000;
/** Progress is told after so many bytes. */
const TELL_BYTES = 64 * 1024 * 1024;

/**
 * One verification: reads blobs and unpacked layers, then trees, whose files are links to those, so that each file is read
 * once. Pulls and collections go on meanwhile: what is not there any more when a fault was found is no fault.
 */
export class VerifyRun {
  readonly #job: VerifyJob;
  readonly #context: VerifyContext;
  readonly #layout: Layout;
  readonly #hasher: FileHasher;
  readonly #sound = new InodeSet();
  readonly #wrong = new InodeSet();
  readonly #changed = new InodeSet();
  readonly #wrongBlobs = new Set<Digest>();
  readonly #counts = { blobs: 0, layers: 0, olderLayers: 0, trees: 0, bytes: 0, unknownFiles: 0 };
  #toldBytes = 0;

  constructor(job: VerifyJob, context: VerifyContext) {
    this.#job = job;
    this.#context = context;
    this.#layout = createLayout(job.dataDir);
    this.#hasher = new FileHasher({ signal: context.signal, onBytes: (bytes) => this.#read(bytes) });
  }

  async run(): Promise<VerifyCounts> {
    using _ = this.#hasher;
    for (const algorithm of ["sha256", "sha512"]) {
      for await (const name of namesIn(join(this.#layout.blobs, algorithm))) await this.#checkBlob(algorithm, name);
      for await (const name of namesIn(join(this.#layout.layers, algorithm))) await this.#checkLayer(algorithm, name);
    }
    for (const tree of this.#job.trees) await this.#checkTree(tree);
    return this.#counts;
  }

  async #checkBlob(algorithm: string, name: string): Promise<void> {
    const digest = digestFrom(algorithm, name);
    if (digest === undefined) return;
    const path = this.#layout.blob(digest);
    const found = lookAt(path);
    if (found === undefined) return;
    this.#counts.blobs++;
    const says = await this.#blobFault(path, digest);
    if (says === undefined) this.#sound.add(found.ino);
    const mode = found.mode & MODE_BITS;
    if ((says === undefined && mode === BLOB_MODE) || lookAt(path)?.ino !== found.ino) return;
    if (says !== undefined) {
      this.#wrong.add(found.ino);
      this.#wrongBlobs.add(digest);
      this.#tell({ kind: "blob", digest, inode: found.ino, isKept: false, says });
      return;
    }
    this.#changed.add(found.ino);
    const rest = this.#job.repairs ? setRight(() => chmodSync(path, BLOB_MODE)) : "";
    const text = `has ${describeModes(mode, BLOB_MODE)}${rest}`;
    this.#tell({ kind: "blob", digest, inode: found.ino, isKept: true, says: text });
  }

  async #blobFault(path: string, digest: Digest): Promise<string | undefined> {
    const { algorithm, hex } = digestParts(digest);
    try {
      const hash = await this.#hasher.hash(Buffer.from(path), algorithm);
      return hash.hex === hex ? undefined : "has other bytes than its digest says";
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      return `cannot be read (${errnoOf(error) ?? "it is no file"})`;
    }
  }

  async #checkLayer(algorithm: string, name: string): Promise<void> {
    const [, hex = "", way] = LAYER_INDEX.exec(name) ?? [];
    const digest = digestFrom(algorithm, hex);
    if (digest === undefined || (way !== "artifact" && way !== "image")) return;
    this.#context.signal.throwIfAborted();
    const indexFile = this.#layout.layerIndex(digest, way);
    const before = lookAt(indexFile);
    if (before === undefined) return;
    if (isOlderIndex(indexFile)) {
      this.#counts.olderLayers++;
      return;
    }
    this.#counts.layers++;
    const faults = new LayerFaults();
    const folder = this.#layout.layerFolder(digest, way);
    await checkLayer({
      indexFile,
      folder,
      hasher: this.#hasher,
      setsModes: this.#job.repairs,
      onSound: (inode) => this.#sound.add(inode),
      onFault: (fault) => {
        const { kind, inode } = fault;
        if (inode !== undefined) (kind === "mode" ? this.#changed : this.#wrong).add(inode);
        const isNeedless = kind === "extra" && this.#job.repairs;
        const rest = isNeedless ? this.#moveAside(below(Buffer.from(folder), fault.path)) : "";
        faults.add({ ...fault, says: fault.says + rest });
      },
    });
    if (faults.count > 0 && lookAt(indexFile)?.ino === before.ino)
      this.#tell({ kind: "layer", digest, way, inode: before.ino, ...faults.told });
  }

  /** What nobody needs; if it cannot be, what the fault's text says of that. */
  #moveAside(path: Buffer): string {
    return setRight(() => withShortPath(path, (short) => renameSync(short, this.#layout.damagedFile())));
  }

  async #checkTree(tree: TreeToVerify): Promise<void> {
    this.#context.signal.throwIfAborted();
    const folder = this.#layout.treeFolder(tree.id);
    const before = lookAt(folder);
    if (before?.isDirectory() !== true) return;
    this.#counts.trees++;
    const { signal } = this.#context;
    const inodes = { sound: this.#sound, wrong: this.#wrong, changed: this.#changed };
    const how = { layout: this.#layout, hasher: this.#hasher, signal };
    const parts = await this.#partsOf(tree);
    const outcome = await checkTree({ tree, parts, ...how, ...inodes }).catch(unreadable);
    // What is damaged as a whole is told so: that nothing is there to compare it with is no news.
    if (!tree.isMarked) this.#counts.unknownFiles += outcome.unknownFiles;
    if (lookAt(folder)?.ino !== before.ino) return;
    if (outcome.says !== undefined) this.#tell({ kind: "tree", id: tree.id, says: outcome.says });
    else if (tree.isMarked && outcome.unknownFiles === 0) this.#context.emit({ healed: tree.id });
  }

  /** A manifest that is wrong says nothing. */
  async #partsOf({ id, manifest }: TreeToVerify): Promise<readonly TreePart[] | undefined> {
    if (this.#wrongBlobs.has(manifest)) return undefined;
    return (await this.#context.ask(id)) as readonly TreePart[] | undefined;
  }

  #tell(fault: Fault): void {
    this.#context.emit({ fault });
  }

  #read(bytes: number): void {
    this.#counts.bytes += bytes;
    if (this.#counts.bytes - this.#toldBytes < TELL_BYTES) return;
    this.#toldBytes = this.#counts.bytes;
    this.#context.emit({ counts: { ...this.#counts } });
  }
}

/** What is wrong with one layer: there may be a million faults. */
class LayerFaults {
  count = 0;
  /** No bytes are wrong, and none are missing. */
  #isKept = true;
  readonly #files: string[] = [];
  #first: LayerFault | undefined;

  add(fault: LayerFault): void {
    this.count++;
    this.#first ??= fault;
    if (fault.kind === "bytes" || fault.kind === "else") this.#isKept = false;
    if (fault.kind === "bytes" && this.#files.length < NAMED_FILES) this.#files.push(fault.path.toString("base64"));
  }

  get told() {
    const { path, says = "" } = this.#first ?? { path: Buffer.alloc(0) };
    const first = path.length === 0 ? says : `is wrong: ${quoteName(path)} ${says}`;
    const more = this.count > 1 ? `; ${this.count} entries of it are wrong` : "";
    return { entries: this.count, isKept: this.#isKept, files: this.#files, says: first + more };
  }
}

/** Undefined for files that are not ours. */
function digestFrom(algorithm: string, hex: string): Digest | undefined {
  try {
    return parseDigest(`${algorithm}:${hex}`);
  } catch {
    return undefined;
  }
}

/** What is told of a tree that the disk does not tell all of. */
function unreadable(error: unknown): TreeCheckOutcome {
  if (!isUnreadable(error)) throw error;
  return { says: `cannot be read (${errnoOf(error)})`, unknownFiles: 0 };
}

function lookAt(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

/** The names in a folder, a few at a time; none if it is not there. */
async function* namesIn(folder: string): AsyncGenerator<string> {
  try {
    for await (const entry of await opendir(folder)) yield entry.name;
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}
