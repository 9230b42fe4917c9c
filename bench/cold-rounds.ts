import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { Sandbox } from "../test/driver/index.ts";
import { percentile } from "./percentile.ts";

/** What a driver's publish is measured beside, and how often. */
export interface ColdRounds {
  readonly rounds: number;
  /** What the other side is called in the line that is printed. */
  readonly other: string;
  /** Seconds of one run of ours, and of the other side's; the number tells rounds apart. */
  readonly ours: (round: number) => Promise<number>;
  readonly theirs: (round: number) => Promise<number>;
}

/** Runs both sides in turn and prints their medians and the ratio. */
export async function compareColdRounds({ rounds, other, ours, theirs }: ColdRounds): Promise<void> {
  const [ourTimes, theirTimes]: [number[], number[]] = [[], []];
  // The first round does not count; who goes first changes each round.
  for (let round = 0; round <= rounds; round++) {
    const sides = [
      async () => [ourTimes, await ours(round)] as const,
      async () => [theirTimes, await theirs(round)] as const,
    ];
    for (const side of round % 2 === 0 ? sides : sides.reverse()) {
      const [all, seconds] = await side();
      if (round > 0) all.push(seconds);
    }
  }
  const [publish, pull] = [percentile(ourTimes, 0.5), percentile(theirTimes, 0.5)];
  const ratios = ourTimes.map((seconds, round) => seconds / (theirTimes[round] ?? Number.NaN));
  const spread = `${Math.min(...ratios).toFixed(2)} and ${Math.max(...ratios).toFixed(2)}`;
  console.log(
    `cold publish ${publish.toFixed(2)} s, ${other} ${pull.toFixed(2)} s: ratio ${(publish / pull).toFixed(2)} ` +
      `(${rounds} rounds; the ratios lie between ${spread})`,
  );
}

/** Seconds from the call to the answer; the driver and its empty data dir, one of its own if none is named, are there before. */
export async function publishSeconds(reference: string, dataDir?: string): Promise<number> {
  const flags = ["--log-level=warn"];
  await using sandbox = await Sandbox.start(dataDir === undefined ? { flags } : { flags, dataDir });
  using client = sandbox.driver.connect();
  const attributes = { "oras.artifact.reference": reference, "oras.options.plainhttp": "true" };
  const volume = sandbox.kubelet.volume({ attributes });
  mkdirSync(dirname(volume.targetPath), { recursive: true });
  const startedMs = performance.now();
  await client.publish(volume.request());
  return (performance.now() - startedMs) / 1000;
}
