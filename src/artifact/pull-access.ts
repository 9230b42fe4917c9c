import { DriverError, type ErrorKind, errorToData } from "../base/index.ts";
import type { Admission } from "../registry/index.ts";
import type { OfferAsk, OfferedAccess, PullJob, RegistryAccess } from "./worker-calls.ts";

/** What one request for a blob is made with. */
export interface BlobAccess extends Pick<RegistryAccess, "hosts" | "credentials"> {
  readonly admission: Admission;
}

/** After these another volume's credentials may still be let in. */
const refusals: ReadonlySet<ErrorKind> = new Set(["unauthenticated", "forbidden", "not-found"]);

/** What a pull may show to registries, as its worker sees it: the volumes that want it come and go. */
export class PullAccess {
  readonly #ofJob: OfferedAccess;
  readonly #isSteady: boolean;
  readonly #ask: (ask: OfferAsk) => Promise<unknown>;
  readonly #createAdmission: () => Admission;
  readonly #admissions = new Map<number, Admission>();

  constructor(options: {
    readonly job: Pick<PullJob, "hosts" | "credentials" | "isForOneCaller">;
    readonly ask: (ask: OfferAsk) => Promise<unknown>;
    readonly createAdmission: () => Admission;
  }) {
    const { hosts, credentials, isForOneCaller } = options.job;
    this.#ofJob = { id: 0, hosts, credentials };
    this.#isSteady = isForOneCaller;
    this.#ask = options.ask;
    this.#createAdmission = options.createAdmission;
  }

  /** Runs a request with what is offered now, and after a refusal with what others offer. */
  async run<T>(request: (access: BlobAccess) => Promise<T>): Promise<T> {
    let offered = (this.#isSteady ? undefined : await this.#offered({})) ?? this.#ofJob;
    for (;;) {
      try {
        const { hosts, credentials } = offered;
        return await request({ hosts, credentials, admission: this.#admissionFor(offered.id) });
      } catch (error) {
        if (!(error instanceof DriverError) || !refusals.has(error.kind)) throw error;
        const next = await this.#offered({ refused: { id: offered.id, error: errorToData(error) } });
        if (next === undefined) throw error;
        offered = next;
      }
    }
  }

  async #offered(offer: OfferAsk["offer"]): Promise<OfferedAccess | undefined> {
    return (await this.#ask({ offer })) as OfferedAccess | undefined;
  }

  #admissionFor(id: number): Admission {
    const admission = this.#admissions.get(id) ?? this.#createAdmission();
    this.#admissions.set(id, admission);
    return admission;
  }
}
