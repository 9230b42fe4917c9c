// `npx node bench/pull.ts [--rounds=N] [CASE...]`: `oras-csi pull` beside `oras pull`, in turn, from Debian's registry.
// Prints a table of medians and their ratios. A case is named by a part of its name.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ensureFreshBuild } from "../scripts/fresh-build.ts";
import { EXECUTABLE } from "../test/driver/index.ts";
import { measure, type Usage } from "./measure.ts";
import { percentile } from "./percentile.ts";
import { type CaseMaker, pullCases } from "./pull-cases.ts";

const DEFAULT_ROUNDS = 7;
const MB = 1e6;

const { values, positionals } = parseArgs({ allowPositionals: true, options: { rounds: { type: "string" } } });
const rounds = Number(values.rounds ?? DEFAULT_ROUNDS);
ensureFreshBuild((line) => process.stderr.write(`${line}\n`));
console.log(
  `| case (${rounds} rounds) | wall ours | oras | ratio | CPU ours | oras | ratio | RssAnon ours | oras | VmHWM ours |`,
);
console.log("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
for (const [name, make] of Object.entries(pullCases)) {
  if (positionals.length === 0 || positionals.some((part) => name.includes(part))) await compare(name, make);
}

async function compare(name: string, make: CaseMaker): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), "oras-csi-bench-"));
  try {
    await using made = await make(scratch);
    const pull = (program: string, folder: string) =>
      measure([program, "pull", ...made.flags, made.reference, "-o", join(scratch, folder)]);
    const [ours, theirs]: [Usage[], Usage[]] = [[], []];
    // The first round warms caches and does not count; who goes first changes each round.
    for (let round = 0; round <= rounds; round++) {
      const sides = [
        async () => [ours, await pull(EXECUTABLE, `ours-${round}`)] as const,
        async () => [theirs, await pull("oras", `oras-${round}`)] as const,
      ];
      for (const side of round % 2 === 0 ? sides : sides.reverse()) {
        const [usages, usage] = await side();
        if (round > 0) usages.push(usage);
      }
    }
    console.log(row(name, ours, theirs));
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function row(name: string, ours: readonly Usage[], theirs: readonly Usage[]): string {
  const median = (usages: readonly Usage[], figure: keyof Usage) =>
    percentile(
      usages.map((usage) => usage[figure]),
      0.5,
    );
  const pair = (figure: keyof Usage) => [median(ours, figure), median(theirs, figure)] as [number, number];
  const [wall, wallOras] = pair("wallSeconds");
  const [cpu, cpuOras] = pair("cpuSeconds");
  const [anonymous, anonymousOras] = pair("peakAnonymousBytes");
  const seconds = (value: number) => `${value.toFixed(2)} s`;
  const megabytes = (value: number) => `${Math.round(value / MB)} MB`;
  const cells = [
    ...[name, seconds(wall), seconds(wallOras), (wall / wallOras).toFixed(2)],
    ...[seconds(cpu), seconds(cpuOras), (cpu / cpuOras).toFixed(2)],
    ...[megabytes(anonymous), megabytes(anonymousOras), megabytes(median(ours, "peakResidentBytes"))],
  ];
  return `| ${cells.join(" | ")} |`;
}
