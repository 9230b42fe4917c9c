import type { CallerPull, FailedTry, PullProgress } from "../artifact/index.ts";
import type { DiskSpace, TreeId } from "../cache/index.ts";
import type { Digest } from "../oci/index.ts";
import type { MeasuredKind, VerifyCounts } from "../verify/index.ts";

/** A tree in the cache. */
export interface ListedTree {
  readonly id: TreeId;
  /** The digest of the manifest that it was made from. */
  readonly manifest: string;
  /** What it was made present for; empty if nobody noted it. */
  readonly references: readonly string[];
  /** Sum of its files' sizes: other trees may share them. */
  readonly sizeBytes: number;
  readonly inodes: number;
  /** ISO 8601; null if nobody noted it. */
  readonly createdAt: string | null;
  /** When a volume began or ceased to have it, ISO 8601. */
  readonly lastUsedAt: string;
  /** Volumes that show it. */
  readonly volumes: number;
  /** What keeps it from collection: its volumes, and whoever works with it at this moment. */
  readonly leases: number;
  readonly pinned: boolean;
  /** What is known to be wrong with its files; null if nothing is. */
  readonly damage: string | null;
}

/** A published volume. */
export interface ListedVolume {
  readonly volumeId: string;
  /** `_` where kubelet did not say. */
  readonly namespace: string;
  /** Null where kubelet did not say. */
  readonly pod: string | null;
  /** Null for a volume that was found mounted, without a record. */
  readonly reference: string | null;
  readonly manifest: string | null;
  readonly tree: TreeId | null;
  readonly readOnly: boolean;
  readonly targetPath: string;
}

/** What the data dir takes on disk. */
export interface DiskReport {
  /** Each file counts once, for the first kind that has it. */
  readonly kinds: readonly MeasuredKind[];
  readonly total: { readonly bytes: number; readonly inodes: number };
  readonly fileSystem: DiskSpace;
}

/** What became of one tree that was to be removed, pinned or unpinned. */
export interface TreeOutcome {
  readonly id: TreeId;
  readonly references: readonly string[];
  /** `leased`: volumes have it, or somebody works with it; `gone`: another removed it meanwhile. */
  readonly outcome: "removed" | "leased" | "pinned" | "unpinned" | "gone";
  /** Whose volumes have it, for people. */
  readonly holders: readonly string[];
  readonly freedBytes: number;
}

/** What a prune took away and left. */
export interface PruneReport {
  readonly trees: number;
  readonly freedBytes: number;
  /** Trees that are left. */
  readonly left: number;
}

/** Something that is wrong, in one sentence; `tree` where it is a tree. */
export interface ToldFault {
  readonly kind: string;
  readonly says: string;
  readonly tree?: TreeId;
}

/** What a verification found, and what became of it. */
export interface VerifyOutcome {
  readonly counts: VerifyCounts;
  /** What was found to be wrong now, mended or not, and the trees that were known to be damaged and are not mended yet. */
  readonly faults: readonly ToldFault[];
  /** Trees that were put together again. */
  readonly mended: readonly TreeId[];
  /** Trees that stay damaged, and why. */
  readonly left: readonly { readonly id: TreeId; readonly why: string }[];
}

/** A tree that a pull has made present. */
export interface PulledTree {
  readonly id: TreeId;
  readonly manifest: Digest;
  /** Sum of its files' sizes. */
  readonly bytes: number;
  /** Files, folders and links, the root included. */
  readonly inodes: number;
}

/** What can be asked of a cache: by the socket of the driver that holds it, or by whoever holds the lock alone. */
export type AdminCalls = {
  readonly list: { argument: Record<never, never>; result: readonly ListedTree[]; progress: never };
  readonly volumes: { argument: Record<never, never>; result: readonly ListedVolume[]; progress: never };
  readonly measure: { argument: Record<never, never>; result: DiskReport; progress: never };
  readonly prune: { argument: PruneArgument; result: PruneReport; progress: never };
  readonly verify: { argument: { readonly repair: boolean }; result: VerifyOutcome; progress: VerifyCounts };
  readonly remove: { argument: TreesArgument; result: readonly TreeOutcome[]; progress: never };
  readonly pin: { argument: TreesArgument; result: readonly TreeOutcome[]; progress: never };
  readonly unpin: { argument: TreesArgument; result: readonly TreeOutcome[]; progress: never };
  /** Only of a driver: who holds the lock alone pulls by itself. */
  readonly pull: { argument: PullArgument; result: PulledTree; progress: PullProgress | FailedTry };
};

/** What is pulled, with whose credentials. */
export interface PullArgument extends CallerPull {
  /** Whose pods may have the artifact from the cache afterwards; `*`: all of them; null: nobody's permission is noted. */
  readonly namespace: string | null;
}

/** What a prune takes. */
export interface PruneArgument {
  /** Pinned trees, too. */
  readonly all: boolean;
  /** Only trees that nobody used for so long, in milliseconds; null: all that nothing keeps. */
  readonly unusedMs: number | null;
}

/** Trees by the beginning of their id, the digest of their manifest, or a reference. */
export interface TreesArgument {
  readonly trees: readonly string[];
}

/** The name of a call. */
export type AdminCallName = keyof AdminCalls;

/** How a call is watched. */
export interface AdminCallOptions<Progress> {
  readonly signal: AbortSignal;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Runs, of a pull, while the tree is held and cannot be collected. */
  readonly whileHeld?: ((tree: PulledTree) => Promise<void>) | undefined;
}

/** Whoever answers these calls. */
export interface Admin {
  call<Name extends AdminCallName>(
    name: Name,
    argument: AdminCalls[Name]["argument"],
    options: AdminCallOptions<AdminCalls[Name]["progress"]>,
  ): Promise<AdminCalls[Name]["result"]>;
}
