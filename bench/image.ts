// `node bench/image.ts [--rounds=N] [--containerd=FOLDER]`: a publish of an image that the driver has not seen, 12 gzip
// layers with 1.5 GB of files, beside `ctr images pull` of a containerd that has not either. Prints medians and their
// ratio; the goal is <= 0.60. FOLDER holds `containerd` and `ctr`; else they are looked for in PATH.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { ensureFreshBuild } from "../scripts/fresh-build.ts";
import { Sandbox } from "../test/driver/index.ts";
import { DockerRegistry, push } from "../test/registry/index.ts";
import { Containerd } from "./containerd.ts";
import { imageOfFiles } from "./image-of-files.ts";
import { measure } from "./measure.ts";
import { percentile } from "./percentile.ts";

const DEFAULT_ROUNDS = 5;
const LAYERS = 12;
const FILES_A_LAYER = 2_000;
const BYTES_A_LAYER = 125e6;

const { values } = parseArgs({ options: { rounds: { type: "string" }, containerd: { type: "string" } } });
const rounds = Number(values.rounds ?? DEFAULT_ROUNDS);
ensureFreshBuild((line) => process.stderr.write(`${line}\n`));
const scratch = mkdtempSync(join(tmpdir(), "oras-csi-bench-"));
try {
  const registry = await DockerRegistry.start();
  try {
    const image = await imageOfFiles({ layers: LAYERS, filesALayer: FILES_A_LAYER, bytesALayer: BYTES_A_LAYER });
    await push(registry, "bench/image", image, "v1");
    await compare(`${registry.host}/bench/image:v1`);
  } finally {
    await registry.close();
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

async function compare(reference: string): Promise<void> {
  const [ours, theirs]: [number[], number[]] = [[], []];
  // The first round does not count; who goes first changes each round. What was unpacked stays until the end: ext4 is
  // slow for a while where many files were deleted.
  for (let round = 0; round <= rounds; round++) {
    const sides = [
      async () => [ours, await publishSeconds(reference, join(scratch, `ours-${round}`))] as const,
      async () => [theirs, await pullSeconds(reference, join(scratch, `containerd-${round}`))] as const,
    ];
    for (const side of round % 2 === 0 ? sides : sides.reverse()) {
      const [all, seconds] = await side();
      if (round > 0) all.push(seconds);
    }
  }
  const [publish, pull] = [percentile(ours, 0.5), percentile(theirs, 0.5)];
  console.log(
    `cold publish ${publish.toFixed(2)} s, ctr images pull ${pull.toFixed(2)} s: ratio ${(publish / pull).toFixed(2)} ` +
      `(${rounds} rounds; the ratios lie between ${spread(ours, theirs)})`,
  );
}

/** From the call to the answer; the driver and its empty data dir are there before. */
async function publishSeconds(reference: string, dataDir: string): Promise<number> {
  await using sandbox = await Sandbox.start({ dataDir, flags: ["--log-level=warn"] });
  using client = sandbox.driver.connect();
  const attributes = { "oras.artifact.reference": reference, "oras.options.plainhttp": "true" };
  const volume = sandbox.kubelet.volume({ attributes });
  mkdirSync(dirname(volume.targetPath), { recursive: true });
  const startedMs = performance.now();
  await client.publish(volume.request());
  return (performance.now() - startedMs) / 1000;
}

async function pullSeconds(reference: string, root: string): Promise<number> {
  await using containerd = await Containerd.start({ root, programs: values.containerd });
  const pull = await measure(containerd.ctr("images", "pull", "--plain-http", reference));
  return pull.wallSeconds;
}

function spread(ours: readonly number[], theirs: readonly number[]): string {
  const ratios = ours.map((seconds, round) => seconds / (theirs[round] ?? Number.NaN));
  return `${Math.min(...ratios).toFixed(2)} and ${Math.max(...ratios).toFixed(2)}`;
}
