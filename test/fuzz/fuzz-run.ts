import { randomInt } from "node:crypto";
import type { TestContext } from "node:test";
import { Prng } from "../helpers/prng.ts";

/** One fuzz test. */
export interface FuzzRun {
  /** How often it tries, unless ORAS_CSI_FUZZ_SECONDS says for how long; fewer on a machine that is very slow. */
  readonly iterations: number;
  /** Tries one thing and says in a word what came of it. Throws what is a finding. */
  readonly tryOne: (prng: Prng) => string | Promise<string>;
}

const MAX_SECONDS = 15;
/** No single try takes nearly as long, on the slowest machine. */
const HANG_MS = 60_000;

/**
 * Runs a fuzz test. Each try has a seed of its own, the one before it plus 1: a finding's message names its seed, and
 * with that in ORAS_CSI_FUZZ_SEED the next run begins with that finding.
 */
export async function runFuzz(t: TestContext, { iterations, tryOne }: FuzzRun): Promise<void> {
  const seed = Number(process.env["ORAS_CSI_FUZZ_SEED"] ?? randomInt(2 ** 32));
  const wanted = process.env["ORAS_CSI_FUZZ_SECONDS"];
  const seconds = Number(wanted ?? MAX_SECONDS);
  // At once: what hangs never comes to a diagnostic.
  process.stdout.write(`fuzz seed ${seed}: ${t.name}\n`);
  t.diagnostic(`seed ${seed}`);
  const outcomes = new Map<string, number>();
  const endMs = performance.now() + seconds * 1000;
  let done = 0;
  for (; (wanted !== undefined || done < iterations) && performance.now() < endMs; done++) {
    const outcome = await within(() => tryOne(new Prng(seed + done)), (seed + done) >>> 0);
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  const counts = [...outcomes].map(([outcome, count]) => `${count} ${outcome}`).join(", ");
  t.diagnostic(`${done} tries from seed ${seed} on: ${counts}`);
}

async function within(tryOne: () => string | Promise<string>, seed: number): Promise<string> {
  const hang = Promise.withResolvers<never>();
  const timer = setTimeout(() => hang.reject(new Error(`it hangs: nothing came of it in ${HANG_MS} ms`)), HANG_MS);
  try {
    return await Promise.race([tryOne(), hang.promise]);
  } catch (error) {
    throw new Error(`a finding: ORAS_CSI_FUZZ_SEED=${seed} makes it again`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}
