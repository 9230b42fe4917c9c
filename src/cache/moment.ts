import type { Clock } from "../base/index.ts";

/** A clock that knows more of the wall clock than what that says. */
export interface CacheClock extends Clock {
  /** How far the wall clock was set ahead before the data dir was opened (`WatchedClock`). */
  readonly aheadMs: number;
}

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

/** A node may start with any time, and be told the right one when the network is there: so long after at most. */
export const UNSET_MS: number = 10 * 60_000;

/**
 * The same for what goes by its age. Soon after the node's start, time that passed before the moment was read does not
 * count, nor does later what the wall clock was set ahead. For an order by age it does: nobody is wronged by that.
 */
export function sureAgeMs(clock: CacheClock, moment: Moment): number {
  const steadyMs = clock.monotonicMs();
  const sureWhenSeenMs = steadyMs < UNSET_MS ? 0 : Math.max(0, moment.ageWhenSeenMs - clock.aheadMs);
  return Math.min(ageMs(clock, moment), sureWhenSeenMs + steadyMs - moment.seenMs);
}
