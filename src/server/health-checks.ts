import { type Clock, DriverError, describeError, type Logger, SingleFlight } from "../base/index.ts";

/** Something that must be so; throws when it is not, with a message that says what is wrong. */
export interface HealthCheck {
  /** What it asks, for the message that it did not answer. */
  readonly name: string;
  readonly run: () => Promise<void>;
}

/** What checks are made with. */
export interface HealthChecksOptions {
  /** What they tell together, for the log. */
  readonly name: string;
  readonly checks: readonly HealthCheck[];
  readonly clock: Clock;
  /** Told when the answer changes: what a probe did not like is in the log, once. */
  readonly logger: Logger;
}

/** Within so long each check has to answer: livenessprobe's own limit. */
const LIMIT_MS = 3000;
const MAX_MESSAGE_CHARS = 1000;

/** Checks that are made together. A check that hangs has one run under way, however often it is asked for. */
export class HealthChecks {
  readonly #options: HealthChecksOptions;
  readonly #running = new SingleFlight<void>();
  #last: string | undefined;

  constructor(options: HealthChecksOptions) {
    this.#options = options;
  }

  /** What is wrong, in one line; undefined if nothing is. Answers within 3 s and never rejects. */
  async run(): Promise<string | undefined> {
    const { name, checks, logger } = this.#options;
    const outcomes = await Promise.all(checks.map((check) => this.#outcomeOf(check)));
    const failures = outcomes.filter((outcome) => outcome !== undefined);
    const wrong = failures.length === 0 ? undefined : oneLine(failures.join("; "));
    if (wrong !== this.#last) {
      if (wrong === undefined) logger.info(`${name} is good again`);
      else logger.warn(`${name} is bad`, { reason: wrong });
    }
    this.#last = wrong;
    return wrong;
  }

  #outcomeOf({ name, run }: HealthCheck): Promise<string | undefined> {
    return new Promise((resolve) => {
      const late = () => resolve(`${name}: no answer within ${LIMIT_MS / 1000} s`);
      const cancel = this.#options.clock.after(LIMIT_MS, late);
      const done = (outcome: string | undefined) => {
        cancel();
        resolve(outcome);
      };
      this.#running.run(name, run).then(
        () => done(undefined),
        (reason: unknown) => done(reason instanceof DriverError ? reason.message : `${name}: ${describeError(reason)}`),
      );
    });
  }
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, " ").slice(0, MAX_MESSAGE_CHARS);
}
