import type { TreeId, UnpackWay } from "../cache/index.ts";
import type { Digest } from "../oci/index.ts";

/** A tree, as its record says. */
export interface TreeToVerify {
  readonly id: TreeId;
  readonly inodes: number;
  readonly manifest: Digest;
  readonly layers: readonly Digest[];
  /** Something was found to be wrong with it before. */
  readonly isMarked: boolean;
}

/** One of the layers that a tree is made of, as whoever makes trees places it there. */
export interface TreePart {
  /** `file`: the blob itself, at the path. `folder`: a tar. `image`: one of an image's layers, put on those before it. */
  readonly kind: "file" | "folder" | "image";
  readonly descriptor: { readonly digest: Digest; readonly size: number };
  /** From the tree's root, `.`; of no meaning for an image's. */
  readonly path: string;
  /** A file's mode, where it has another than its blob. */
  readonly mode?: number;
  /** A tar whose entries do not begin with the path lies below it. */
  readonly movesBelow?: true;
}

/** What is to be verified: all blobs and layers of a data dir, and these trees. */
export interface VerifyJob {
  readonly dataDir: string;
  readonly trees: readonly TreeToVerify[];
  /** Whether modes of blobs, and in layers, that differ are set right, and what nobody needs there is moved aside. */
  readonly repairs: boolean;
}

/** Something that is not what it should be. `says` completes a sentence that begins with what it is about. */
export type Fault =
  | {
      readonly kind: "blob";
      readonly digest: Digest;
      readonly inode: number;
      /** It holds what it should: nothing need be fetched for it. */
      readonly isKept: boolean;
      readonly says: string;
    }
  | {
      readonly kind: "layer";
      readonly digest: Digest;
      readonly way: UnpackWay;
      /** Of its index. */
      readonly inode: number;
      /** As of blobs. */
      readonly isKept: boolean;
      /** How much in it is wrong. */
      readonly entries: number;
      /** Some of the files with wrong bytes: paths from the layer's folder, in base64, for names are bytes. */
      readonly files: readonly string[];
      readonly says: string;
    }
  /** `reference`: what people call the tree, where that is known. */
  | { readonly kind: "tree"; readonly id: TreeId; readonly reference?: string | undefined; readonly says: string }
  /** A state file; its path from the data dir. */
  | { readonly kind: "state"; readonly path: string; readonly says: string };

/** What was looked at. */
export interface VerifyCounts {
  readonly blobs: number;
  readonly layers: number;
  /** Unpacked by an older driver, whose indexes this one does not read: not looked at, and of no use. */
  readonly olderLayers: number;
  readonly trees: number;
  /** Bytes that were read. */
  readonly bytes: number;
  /** Files of trees, none of them marked before, of which nothing in the cache says any more what they should be. */
  readonly unknownFiles: number;
}

/** What the worker tells while it works. `healed`: a marked tree in which nothing is wrong any more. */
export type VerifyEvent = { readonly fault: Fault } | { readonly healed: TreeId } | { readonly counts: VerifyCounts };

/**
 * What takes room in a data dir. `trees`: what only trees have, folders mostly; `uppers`: what pods wrote, and records;
 * `damaged`: files with wrong bytes that were moved aside, once no tree shows them any more.
 */
export type DiskKind = "blobs" | "layers" | "trees" | "uppers" | "partials" | "damaged" | "other";

/** What one kind takes on disk. */
export interface MeasuredKind {
  readonly kind: DiskKind;
  readonly bytes: number;
  readonly inodes: number;
}

/** The calls of the verify worker. */
export type VerifyWorkerCalls = {
  readonly measure: { payload: string; result: readonly MeasuredKind[]; event: never; ask: never };
  /** It asks what a tree is made of, which is answered by its parts in order, or by undefined. */
  readonly verify: { payload: VerifyJob; result: VerifyCounts; event: VerifyEvent; ask: TreeId };
};
