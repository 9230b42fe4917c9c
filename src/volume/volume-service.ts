/** What publishes volumes; implemented by src/volume. */
export interface VolumeService {
  /**
   * Makes the volume visible at its target path; returns when the pod may start. Throws one "bad-input" that lists all
   * that is wrong with the request, its `fieldProblems` first.
   */
  publish(request: PublishRequest): Promise<PublishOutcome>;
  /** Takes the volume away; an unknown one is no error. */
  unpublish(request: { readonly volumeId: string; readonly targetPath: string }): Promise<void>;
  /** How full a volume is; "not-found" for an unknown id or path. */
  stats(request: { readonly volumeId: string; readonly volumePath: string }): Promise<VolumeStats>;
  /** What is wrong with a volume, empty if nothing is; without a path the worst of the id's targets. */
  health(request: {
    readonly volumeId: string;
    readonly volumePath: string | undefined;
  }): Promise<readonly VolumeHealthEntry[]>;
  /** What is wrong with the storage behind all volumes of the node, empty if nothing is. */
  storageHealth(): Promise<readonly StorageHealthEntry[]>;
}

/** Whether a publish mounted the volume, or found it mounted as it was asked for. */
export type PublishOutcome = "published" | "unchanged";

/** One NodePublishVolume call. */
export interface PublishRequest {
  /** What is missing or wrong beside the attributes, found already; nothing is published unless it is empty. */
  readonly fieldProblems: readonly string[];
  readonly volumeId: string;
  readonly targetPath: string;
  /** The readonly field, or a reader-only access mode. */
  readonly readOnly: boolean;
  readonly mountFlags: readonly string[];
  /** Group of the volume's root; "" for none. */
  readonly mountGroup: string;
  readonly volumeContext: Readonly<Record<string, string>>;
  readonly secrets: Readonly<Record<string, string>>;
  /** When the caller stops waiting, on the monotonic clock (`Clock.monotonicMs`). */
  readonly deadlineMs: number;
  /** The whole time the caller gave. */
  readonly timeoutMs: number;
  /** Fires when the caller went away. */
  readonly signal: AbortSignal;
}

/** Use of a volume, in bytes and in inodes. */
export interface VolumeStats {
  readonly bytes: VolumeUsage;
  readonly inodes: VolumeUsage;
}

/** One measure of a volume. */
export interface VolumeUsage {
  readonly used: number;
  readonly total: number;
  readonly available: number;
}

/** One thing that is wrong with a volume; the reason is CamelCase and stable, the message is for people. */
export interface VolumeHealthEntry {
  readonly status: "inaccessible" | "data-loss";
  readonly reason: string;
  readonly message: string;
}

/** One thing that is wrong with the node's data dir; reason and message as for a volume. */
export interface StorageHealthEntry {
  readonly status: "degraded" | "unreachable";
  readonly reason: string;
  readonly message: string;
}
