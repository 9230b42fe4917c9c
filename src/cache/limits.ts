/** How large the cache may become; percents are of its file system, by bytes and by inodes. */
export interface CacheLimits {
  /** Undefined: as much as the file system gives. */
  readonly maxBytes: number | undefined;
  /** How long a tree stays that no volume has; undefined: as long as there is room. */
  readonly ttlMs: number | undefined;
  /** Above it, collection begins. */
  readonly highPercent: number;
  /** At or below it, collection ends. */
  readonly lowPercent: number;
  /** So much collection leaves to the cache where others filled the file system. */
  readonly minPercent: number;
}

/** The contract's defaults. */
export const defaultCacheLimits: CacheLimits = {
  maxBytes: undefined,
  ttlMs: undefined,
  highPercent: 75,
  lowPercent: 70,
  minPercent: 10,
};
