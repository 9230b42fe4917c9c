/** What a test or the demo asks NodePublishVolume for. */
export interface PublishRequest {
  readonly volumeId: string;
  readonly targetPath: string;
  readonly readonly: boolean;
  readonly volumeContext: Readonly<Record<string, string>>;
  readonly secrets?: Readonly<Record<string, string>>;
  /** SINGLE_NODE_WRITER when left out, as kubelet sends it for inline volumes. */
  readonly accessMode?: AccessMode;
  readonly mountFlags?: readonly string[];
  /** The pod's fsGroup. */
  readonly volumeMountGroup?: string;
  /** Ask for a block device in place of a mount. */
  readonly block?: boolean;
}

/** The access modes of csi.v1 that tests send. */
export type AccessMode = "SINGLE_NODE_WRITER" | "SINGLE_NODE_READER_ONLY" | "MULTI_NODE_READER_ONLY";

/** One row of NodeGetVolumeStats. */
export interface VolumeUsageRow {
  readonly unit: string;
  readonly used: number;
  readonly total: number;
  readonly available: number;
}

/** One entry of NodeGetVolumeHealth or NodeGetStorageHealth. */
export interface HealthRow {
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

/**
 * How long a call may take; the client tells the server by grpc-timeout, as kubelet does, and itself waits longer by
 * `GRACE_MS`: that a test had no time to read an answer is no fault of the driver's, whose server ends late calls itself.
 */
export interface CallOptions {
  readonly timeoutMs?: number;
}

/** The calls of the CSI services that the driver serves, in the same words for every client library. */
export interface CsiClient extends Disposable {
  pluginInfo(): Promise<{ readonly name: string; readonly vendorVersion: string }>;
  pluginCapabilities(): Promise<string[]>;
  probe(options?: CallOptions): Promise<{ readonly ready: boolean }>;
  nodeId(): Promise<string>;
  nodeCapabilities(): Promise<string[]>;
  publish(request: PublishRequest, options?: CallOptions): Promise<void>;
  unpublish(volumeId: string, targetPath: string, options?: CallOptions): Promise<void>;
  stats(volumeId: string, volumePath: string): Promise<VolumeUsageRow[]>;
  health(volumeId: string, publishPath: string): Promise<HealthRow[]>;
  storageHealth(): Promise<HealthRow[]>;
  close(): void;
}

/** A call that the driver, or the way to it, answered with an error; `code` as gRPC writes it: NOT_FOUND. */
export class CsiError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = "CsiError";
    this.code = code;
  }
}

/** The call's time limit when a caller names none: kubelet's. */
export const DEFAULT_TIMEOUT_MS = 120_000;

/** By so much a client waits longer than it tells the server. */
export const GRACE_MS = 20_000;
