import { hash, randomUUID } from "node:crypto";
import { join } from "node:path";
import { type Digest, digestParts } from "../oci/index.ts";

/** How a tar layer is unpacked: as an artifact's folder, or as a layer of an image (their modes and owners differ). */
export type UnpackWay = "artifact" | "image";

/** A tree's name: hex sha256 of what it is made of. */
export type TreeId = string & { readonly treeId: unique symbol };

/** Where everything lies in a data dir (docs/architecture.md, "The disk"). Pure: makes and checks nothing. */
export interface Layout {
  readonly dataDir: string;
  readonly formatFile: string;
  readonly lockFile: string;
  /** What the node's clocks said once. */
  readonly clockFile: string;
  /** Served by the driver that holds the lock. */
  readonly adminSocket: string;
  readonly blobs: string;
  readonly layers: string;
  readonly trees: string;
  readonly ingest: string;
  readonly references: string;
  readonly volumes: string;
  readonly names: string;
  readonly tmp: string;
  /** The mounter's own, on older kernels: what is in there may be mounts of trees. */
  readonly mounts: string;
  blob(digest: Digest): string;
  layerFolder(digest: Digest, way: UnpackWay): string;
  layerIndex(digest: Digest, way: UnpackWay): string;
  /** What the unpacked layer takes on disk. */
  layerUse(digest: Digest, way: UnpackWay): string;
  treeFolder(id: TreeId): string;
  treeRecord(id: TreeId): string;
  /** There while the tree is pinned. */
  treePin(id: TreeId): string;
  /** There while the tree's volumes want it removed some time after the last of them. */
  treeCleanup(id: TreeId): string;
  /** Where a file with wrong bytes is moved to. */
  damagedFile(): string;
  /** Where a blob comes in from an origin: another one's download of it has a file of its own. */
  ingestFile(digest: Digest, origin: string): string;
}

/** Of the hash of an origin, in the names of its downloads. */
const ORIGIN_LENGTH = 16;

/** How the names of files with wrong bytes begin in tmp/. */
const DAMAGED = "damaged-";

/** Whether this is the name, in tmp/, of a file with wrong bytes that was moved there. */
export function isDamagedName(name: string): boolean {
  return name.startsWith(DAMAGED);
}

/** The layout of the data dir at an absolute path. */
export function createLayout(dataDir: string): Layout {
  const [blobs, layers] = [join(dataDir, "blobs"), join(dataDir, "layers")];
  const [trees, ingest] = [join(dataDir, "trees"), join(dataDir, "ingest")];
  const under = (folder: string, digest: Digest, suffix = "") => {
    const { algorithm, hex } = digestParts(digest);
    // Both parts are clean: there is nothing to be joined with care, thousands of times.
    return `${folder}/${algorithm}/${hex}${suffix}`;
  };
  let lastOrigin = { origin: "", name: hashOf("") };
  return {
    dataDir,
    formatFile: join(dataDir, "format.json"),
    lockFile: join(dataDir, "lock"),
    clockFile: join(dataDir, "clock.json"),
    adminSocket: join(dataDir, "admin.sock"),
    blobs,
    layers,
    trees,
    ingest,
    references: join(dataDir, "references"),
    volumes: join(dataDir, "volumes"),
    names: join(dataDir, "names"),
    tmp: join(dataDir, "tmp"),
    mounts: join(dataDir, "mounts"),
    blob: (digest) => under(blobs, digest),
    layerFolder: (digest, way) => under(layers, digest, `.${way}`),
    layerIndex: (digest, way) => under(layers, digest, `.${way}.index`),
    layerUse: (digest, way) => under(layers, digest, `.${way}.use.json`),
    treeFolder: (id) => join(trees, id),
    treeRecord: (id) => join(trees, `${id}.json`),
    treePin: (id) => join(trees, `${id}.pin`),
    treeCleanup: (id) => join(trees, `${id}.cleanup`),
    damagedFile: () => join(dataDir, "tmp", `${DAMAGED}${randomUUID()}`),
    ingestFile: (digest, origin) => {
      const { algorithm, hex } = digestParts(digest);
      if (origin !== lastOrigin.origin) lastOrigin = { origin, name: hashOf(origin) };
      return `${ingest}/${algorithm}-${hex}-${lastOrigin.name}`;
    },
  };
}

function hashOf(origin: string): string {
  return hash("sha256", origin, "hex").slice(0, ORIGIN_LENGTH);
}
