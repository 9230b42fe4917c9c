import type { Clock } from "../base/index.ts";

/** When something happened, known by the wall clock and, from then on, by the monotonic one. */
export interface Moment {
  readonly wallMs: number;
  readonly seenMs: number;
  readonly ageWhenSeenMs: number;
}

/** The moment of a time on disk. One in the future counts as now. */
export function momentAt(clock: Clock, wallMs: number): Moment {
  return { wallMs, seenMs: clock.monotonicMs(), ageWhenSeenMs: Math.max(0, clock.now() - wallMs) };
}

/**
 * How long ago a moment is: what the two clocks agree on. So nothing gets old at once because the wall clock jumps, and
 * what was read while that was wrong is right when it was set.
 */
export function ageMs(clock: Clock, { wallMs, seenMs, ageWhenSeenMs }: Moment): number {
  const bySteady = ageWhenSeenMs + clock.monotonicMs() - seenMs;
  return Math.max(0, Math.min(clock.now() - wallMs, bySteady));
}
