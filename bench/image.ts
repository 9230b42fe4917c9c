// `npx node bench/image.ts [--rounds=N] [--containerd=FOLDER]`: a publish of an image that the driver has not seen, 12
// gzip layers with 1.5 GB of files, beside `ctr images pull` of a containerd that has not either. Prints medians and
// their ratio; the goal is <= 0.60. FOLDER holds `containerd` and `ctr`; else they are looked for in PATH.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ensureFreshBuild } from "../scripts/fresh-build.ts";
import { DockerRegistry, push } from "../test/registry/index.ts";
import { compareColdRounds, publishSeconds } from "./cold-rounds.ts";
import { Containerd } from "./containerd.ts";
import { imageOfFiles } from "./image-of-files.ts";
import { measure } from "./measure.ts";

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
    const reference = `${registry.host}/bench/image:v1`;
    // What was unpacked stays until the end: ext4 is slow for a while where many files were deleted.
    await compareColdRounds({
      rounds,
      other: "ctr images pull",
      ours: (round) => publishSeconds(reference, join(scratch, `ours-${round}`)),
      theirs: (round) => pullSeconds(reference, join(scratch, `containerd-${round}`)),
    });
  } finally {
    await registry.close();
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

async function pullSeconds(reference: string, root: string): Promise<number> {
  await using containerd = await Containerd.start({ root, programs: values.containerd });
  const pull = await measure(containerd.ctr("images", "pull", "--plain-http", reference));
  return pull.wallSeconds;
}
