import { DriverError, type ErrorKind } from "../base/index.ts";
import type { Credential } from "../registry/index.ts";

/** Answers after which another credential may still be let in. */
const refusals: ReadonlySet<ErrorKind> = new Set(["unauthenticated", "forbidden", "not-found"]);

/** Which of a pull's credentials opens its repository: found out by the first blob, then used for all. */
export class BlobAccess {
  readonly #credentials: readonly Credential[];
  #letIn: Credential | undefined;

  constructor(credentials: readonly Credential[]) {
    this.#credentials = credentials;
  }

  /** Runs `request` with each credential in order until one is let in. Throws the first refusal if none is. */
  async withCredential(request: (credential: Credential) => Promise<unknown>): Promise<void> {
    let firstRefusal: unknown;
    for (const credential of this.#inOrder()) {
      try {
        await request(credential);
        this.#letIn = credential;
        return;
      } catch (error) {
        if (!(error instanceof DriverError) || !refusals.has(error.kind)) throw error;
        firstRefusal ??= error;
      }
    }
    throw firstRefusal;
  }

  #inOrder(): readonly Credential[] {
    const letIn = this.#letIn;
    return letIn === undefined ? this.#credentials : [letIn, ...this.#credentials.filter((one) => one !== letIn)];
  }
}
