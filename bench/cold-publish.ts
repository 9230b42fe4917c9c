// `npx node bench/cold-publish.ts [--rounds=N]`: a publish of an artifact of 1 GiB that the driver has not seen,
// durable when it is answered, beside `oras pull` and `sync -f` on what that wrote. Prints medians and their ratio; the
// goal is <= 0.90.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ensureFreshBuild } from "../scripts/fresh-build.ts";
import { compareColdRounds, publishSeconds } from "./cold-rounds.ts";
import { measure } from "./measure.ts";
import { pullCases } from "./pull-cases.ts";

const DEFAULT_ROUNDS = 7;

const { values } = parseArgs({ options: { rounds: { type: "string" } } });
const rounds = Number(values.rounds ?? DEFAULT_ROUNDS);
ensureFreshBuild((line) => process.stderr.write(`${line}\n`));
const scratch = mkdtempSync(join(tmpdir(), "oras-csi-bench-"));
try {
  await using made = await pullCases["1 GiB blob, http"]?.(scratch);
  if (made === undefined) throw new Error("there is no such case");
  await compareColdRounds({
    rounds,
    other: "oras pull and sync",
    ours: () => publishSeconds(made.reference),
    theirs: (round) => pullSeconds(made.reference, made.flags, join(scratch, `oras-${round}`)),
  });
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

async function pullSeconds(reference: string, flags: readonly string[], folder: string): Promise<number> {
  mkdirSync(folder);
  const pull = await measure(["oras", "pull", ...flags, reference, "-o", folder]);
  const sync = await measure(["sync", "-f", join(folder, "blob.bin")]);
  return pull.wallSeconds + sync.wallSeconds;
}
