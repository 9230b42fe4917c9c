import { type Clock, DriverError, type ErrorKind, type PullIncrease } from "../base/index.ts";
import type { PullWork } from "./pull.ts";

/** Is told how pulls go, for metrics: how many and how long, never whose or of what. */
export interface PullObserver {
  /** A volume was asked for the first time: its tree was there, or is to be made. */
  treeLookedUp(found: boolean): void;
  /** A pull waits for its turn; what is returned hears how it goes on. */
  pullQueued(): ObservedPull;
}

/** Hears how one pull goes on. */
export interface ObservedPull {
  /** It has its turn. */
  started(): void;
  /** More bytes came, or more tries failed, since it was told last. */
  progressed(more: PullIncrease): void;
  /** It ended, so many seconds after its turn came; nothing is told after that. */
  ended(result: "ok" | ErrorKind, seconds: number): void;
}

/** A pull's work whose course is told to `observed`, and what has to hear the outcome of the pull. */
export function observePull(work: PullWork, observed: ObservedPull, clock: Clock) {
  let startedMs: number | undefined;
  let counted: PullIncrease = { fetchedBytes: 0, mirrorBytes: 0, resumedBytes: 0, retries: 0 };
  const observedWork: PullWork = (pull) => {
    startedMs = clock.monotonicMs();
    observed.started();
    return work({
      ...pull,
      onEvent: (event) => {
        if ("fetchedBytes" in event) {
          observed.progressed(increase(counted, event));
          counted = event;
        }
        pull.onEvent(event);
      },
    });
  };
  const ended = (result: "ok" | ErrorKind) =>
    observed.ended(result, startedMs === undefined ? 0 : (clock.monotonicMs() - startedMs) / 1000);
  return {
    work: observedWork,
    succeeded: () => ended("ok"),
    failed: (reason: unknown) => ended(reason instanceof DriverError ? reason.kind : "internal"),
  };
}

function increase(before: PullIncrease, now: PullIncrease): PullIncrease {
  return {
    fetchedBytes: now.fetchedBytes - before.fetchedBytes,
    mirrorBytes: now.mirrorBytes - before.mirrorBytes,
    resumedBytes: now.resumedBytes - before.resumedBytes,
    retries: now.retries - before.retries,
  };
}
