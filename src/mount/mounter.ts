import type { MountPlace } from "../base/index.ts";
import type { MountFlags } from "./mount-flags.ts";
import type { MountEntry } from "./mount-table.ts";
import type { HeldFolder } from "./path-handle.ts";

/** A bind mount: nosuid and nodev always, and all flags set before it can be seen at the target. */
export interface BindOptions {
  /** The folder to show; mounts below it are not shown. */
  readonly source: string;
  /** An existing folder; a symlink as its last part is refused, links above it are followed. */
  readonly target: string;
  readonly readOnly: boolean;
  readonly flags: MountFlags;
  /**
   * What has to be done before the mount may be seen, the making of the target included. If it fails, so does the bind; the
   * caller handles its failure, too.
   */
  readonly ready?: Promise<unknown>;
}

/** An overlay mount: writable, nosuid and nodev always, all its options said outright. */
export interface OverlayOptions {
  /** The folder below, never changed through the mount. */
  readonly lower: string;
  /** Takes what is written; its owner and mode are those of the mount's root. */
  readonly upper: string;
  /** An empty folder on the file system of `upper`, not below it. */
  readonly work: string;
  /** As for a bind. */
  readonly target: string;
  readonly flags: MountFlags;
}

/** The mount whose root is at a path. */
export interface MountAt {
  /** The kernel's number: unique among present mounts, used again for later ones. */
  readonly mountId: number;
  /** What stat says of the mount's root, to compare with the source's; undefined where the kernel does not say. */
  readonly device: bigint | undefined;
  readonly inode: bigint | undefined;
}

/** What one look at a path tells. */
export interface PathLook {
  /** The topmost mount at the path itself. FUSE's, at least, are not asked for that. */
  readonly mount: MountAt | undefined;
  /** Whether anything is there, a mount or not. */
  readonly isThere: boolean;
  /** The mount that the folder above lies on; undefined if there is no such folder. */
  readonly folder: FolderMount | undefined;
}

/** The mount that a folder lies on. */
export interface FolderMount {
  readonly mountId: number;
  /** Undefined where only the table of all mounts tells. */
  readonly about: MountPlace | undefined;
}

/**
 * Of an unmount: `plain` fails while something is open in it, `detach` takes it out of sight whatever uses it. `bind` is
 * `plain` for what is known to be one view of a file system that stays mounted elsewhere.
 */
export type UnmountHow = "plain" | "bind" | "detach";

/**
 * Everything in the driver that needs root. Mounts are told by the kernel's mount ids, never by path text.
 *
 * Errors of `bind` and `overlay` (nothing is mounted then): "refused" for a target that is missing, a symlink or no
 * folder, for missing privileges and for an upper layer that its file system cannot hold; "no-space" at the node's
 * mount limit; "unavailable" for what may pass. The system's error code is in the cause (`errnoOf`).
 */
export interface Mounter {
  bind(options: BindOptions): Promise<void>;
  overlay(options: OverlayOptions): Promise<void>;
  /**
   * Has the overlay at a path look anew at what lies below it: files of the lower folder that were replaced since are seen
   * by who opens them next. What is open at this moment stays as it is.
   */
  refreshOverlay(target: string): Promise<void>;
  /**
   * Takes away the topmost mount at the path (with `detach`: and all below it); OK if nothing is mounted there. In use:
   * "unavailable" with EBUSY in its cause, so that the caller can try again. Symlinks are not followed.
   */
  unmount(target: string | Uint8Array, how: UnmountHow): Promise<void>;
  /** `folder` is the one above the path where the caller holds that: it need not be opened then. */
  lookAt(path: string, folder?: HeldFolder): Promise<PathLook>;
  /** The mount of `lookAt`, undefined if there is none. */
  mountAt(path: string): Promise<MountAt | undefined>;
  /** Whether the file system that is mounted at the path is gone: ENOTCONN or ESTALE. Asks it: may hang with it. */
  isDead(path: string): Promise<boolean>;
  /** The table's entry of the mount that the path lies on (the one at the path itself, if there is one); links are followed. */
  mountHolding(path: string): Promise<MountEntry | undefined>;
  /** What is mounted below the path (not at it), in the order to unmount it: deepest and newest first. */
  mountsBelow(path: string): Promise<readonly MountEntry[]>;
  /** The table of all mounts in the driver's namespace: 30 to 110 ms when there are 20,000. */
  mounts(): Promise<readonly MountEntry[]>;
}
