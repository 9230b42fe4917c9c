import { type Clock, type Logger, RecentKeys } from "../base/index.ts";
import type { HostFailure } from "../registry/index.ts";

/** The same again is logged at most once in this time. */
const QUIET_MS = 60_000;
const MAX_REMEMBERED = 1000;

/** Logs which hosts of registries do not serve. */
export class HostFailureLog {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #recent = new RecentKeys(MAX_REMEMBERED);

  constructor(options: { readonly clock: Clock; readonly log: Logger }) {
    this.#clock = options.clock;
    this.#log = options.log;
  }

  /** A host that does not have something is nothing to worry about: mirrors need not have all. */
  note(failure: HostFailure): void {
    const { registry, host, kind, result, reason } = failure;
    const nowMs = this.#clock.monotonicMs();
    const lastMs = this.#recent.get(registry, host, result, reason);
    if (lastMs !== undefined && nowMs - lastMs < QUIET_MS) return;
    this.#recent.note(nowMs, registry, host, result, reason);
    const isFault = result !== "not-found" && result !== "unauthenticated" && result !== "forbidden";
    const level = kind === "mirror" && isFault ? "warn" : "debug";
    this.#log[level]("a host of a registry did not serve: another one is asked", {
      registry,
      host,
      kind,
      result,
      reason,
    });
  }
}
