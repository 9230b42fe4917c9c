// `npx node bench/probe-while-pulling.ts [GIBIBYTES]`: how long Probe takes while an artifact of that size is pulled,
// and what memory the driver takes then. Goals: p99 <= 50 ms, RssAnon <= 75 MB.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { ensureFreshBuild } from "../scripts/fresh-build.ts";
import { Sandbox } from "../test/driver/index.ts";
import { DockerRegistry } from "../test/registry/index.ts";
import { memoryOf } from "./measure.ts";
import { percentile } from "./percentile.ts";
import { writeNoise } from "./pull-cases.ts";

const DEFAULT_GIBIBYTES = 10;
const GIB = 2 ** 30;
const PAUSE_MS = 10;

const count = Number(process.argv[2] ?? DEFAULT_GIBIBYTES);
ensureFreshBuild((line) => process.stderr.write(`${line}\n`));
const scratch = mkdtempSync(join(tmpdir(), "oras-csi-bench-"));
try {
  await using registry = await DockerRegistry.start();
  const reference = `${registry.host}/bench/large:v1`;
  const names = Array.from({ length: count }, (_, i) => `blob-${i}.bin`);
  for (const name of names) writeNoise(join(scratch, name), GIB);
  execFileSync("oras", ["push", "--plain-http", "--no-tty", reference, ...names], { cwd: scratch, stdio: "ignore" });
  for (const name of names) rmSync(join(scratch, name));
  await using sandbox = await Sandbox.start({ flags: ["--log-level=warn"] });
  const volume = sandbox.kubelet.volume({
    attributes: { "oras.artifact.reference": reference, "oras.options.plainhttp": "true" },
  });
  mkdirSync(dirname(volume.targetPath), { recursive: true });
  using client = sandbox.driver.connect();
  let pulling = true;
  const startedMs = performance.now();
  const published = client.publish(volume.request(), { timeoutMs: 3_600_000 }).finally(() => {
    pulling = false;
  });
  const times: number[] = [];
  let peakBytes = 0;
  while (pulling) {
    const askedMs = performance.now();
    await client.probe();
    times.push(performance.now() - askedMs);
    peakBytes = Math.max(peakBytes, memoryOf(sandbox.driver.pid, "RssAnon"));
    await delay(PAUSE_MS);
  }
  await published;
  const seconds = (performance.now() - startedMs) / 1000;
  const [p50, p99, worst] = [0.5, 0.99, 1].map((share) => `${percentile(times, share).toFixed(1)} ms`);
  console.log(
    `${count} GiB in ${seconds.toFixed(1)} s (${Math.round((count * GIB) / 1e6 / seconds)} MB/s); ${times.length} probes: ` +
      `p50 ${p50}, p99 ${p99}, worst ${worst}; RssAnon at most ${Math.round(peakBytes / 1e6)} MB`,
  );
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
