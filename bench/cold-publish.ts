// `node bench/cold-publish.ts [--rounds=N]`: a publish of an artifact of 1 GiB that the driver has not seen, durable when
// it is answered, beside `oras pull` and `sync -f` on what that wrote. Prints medians and their ratio; the goal is <= 0.90.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { ensureFreshBuild } from "../scripts/fresh-build.ts";
import { Sandbox } from "../test/driver/index.ts";
import { measure } from "./measure.ts";
import { percentile } from "./percentile.ts";
import { pullCases } from "./pull-cases.ts";

const DEFAULT_ROUNDS = 7;

const { values } = parseArgs({ options: { rounds: { type: "string" } } });
const rounds = Number(values.rounds ?? DEFAULT_ROUNDS);
ensureFreshBuild((line) => process.stderr.write(`${line}\n`));
const scratch = mkdtempSync(join(tmpdir(), "oras-csi-bench-"));
try {
  await using made = await pullCases["1 GiB blob, http"]?.(scratch);
  if (made === undefined) throw new Error("there is no such case");
  const [ours, theirs]: [number[], number[]] = [[], []];
  // The first round does not count; who goes first changes each round.
  for (let round = 0; round <= rounds; round++) {
    const sides = [
      async () => [ours, await publishSeconds(made.reference)] as const,
      async () => [theirs, await pullSeconds(made.reference, made.flags, join(scratch, `oras-${round}`))] as const,
    ];
    for (const side of round % 2 === 0 ? sides : sides.reverse()) {
      const [all, seconds] = await side();
      if (round > 0) all.push(seconds);
    }
  }
  const [publish, pull] = [percentile(ours, 0.5), percentile(theirs, 0.5)];
  console.log(
    `cold publish ${publish.toFixed(2)} s, oras pull and sync ${pull.toFixed(2)} s: ratio ${(publish / pull).toFixed(2)} ` +
      `(${rounds} rounds; the ratios lie between ${spread(ours, theirs)})`,
  );
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

/** From the call to the answer; the driver and its empty data dir are there before. */
async function publishSeconds(reference: string): Promise<number> {
  await using sandbox = await Sandbox.start({ flags: ["--log-level=warn"] });
  using client = sandbox.driver.connect();
  const attributes = { "oras.artifact.reference": reference, "oras.options.plainhttp": "true" };
  const volume = sandbox.kubelet.volume({ attributes });
  mkdirSync(dirname(volume.targetPath), { recursive: true });
  const startedMs = performance.now();
  await client.publish(volume.request());
  return (performance.now() - startedMs) / 1000;
}

async function pullSeconds(reference: string, flags: readonly string[], folder: string): Promise<number> {
  mkdirSync(folder);
  const pull = await measure(["oras", "pull", ...flags, reference, "-o", folder]);
  const sync = await measure(["sync", "-f", join(folder, "blob.bin")]);
  return pull.wallSeconds + sync.wallSeconds;
}

function spread(ours: readonly number[], theirs: readonly number[]): string {
  const ratios = ours.map((seconds, round) => seconds / (theirs[round] ?? Number.NaN));
  return `${Math.min(...ratios).toFixed(2)} and ${Math.max(...ratios).toFixed(2)}`;
}
