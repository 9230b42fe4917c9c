// `npx node scripts/footprint.ts`: what a node pays for the driver: its memory at rest, its time to start, and the
// compressed size of its image (dist/image). Each figure is printed with its limit. Memory and size over their limits
// end with 1; time is only flagged, because a busy machine makes any program late.
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { createConnectClient, Driver, EXECUTABLE } from "../test/driver/index.ts";
import { runTool } from "./build/run-tool.ts";
import { ensureFreshBuild } from "./fresh-build.ts";
import { extractExecutable } from "./image/extract-executable.ts";
import { layerBytes, readLayout } from "./image/layout.ts";
import { MAX_LAYER_BYTES } from "./image/try-image.ts";

const LIMITS = { rssAnonBytes: 30e6, vmRssBytes: 70e6, startMs: 150 };
const WARM_STARTS = 11;
const REST_MS = 3_000;
const LAYOUT = join(import.meta.dirname, "../dist/image");

let failed = false;
process.exitCode = await main();

async function main(): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), "oras-csi-footprint-"));
  try {
    const executable = await findExecutable(folder);
    await measureMemory(executable, folder);
    await measureStarts(executable, folder);
    measureImage();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return failed ? 1 : 0;
}

/** The image's, where there is an image: that is what nodes run. */
async function findExecutable(folder: string): Promise<string> {
  const ofImage = await extractExecutable(LAYOUT, folder);
  if (ofImage === undefined) ensureFreshBuild(console.log);
  console.log(`measured: the executable of ${ofImage === undefined ? "dist/oras-csi" : "dist/image"}`);
  return ofImage ?? EXECUTABLE;
}

/**
 * VmRSS counts the pages of the executable, too, and a file that was just written has them in larger pieces: it is
 * taken out of the page cache first.
 */
async function measureMemory(executable: string, folder: string): Promise<void> {
  await runTool("dd", [`of=${executable}`, "oflag=nocache", "conv=notrunc,fsync", "count=0", "status=none"]);
  await using driver = await Driver.start(optionsIn(folder, "memory", executable));
  await delay(REST_MS);
  const status = readFileSync(`/proc/${driver.pid}/status`, "utf8");
  const bytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) * 1024;
  demand("RssAnon at rest", bytes("RssAnon"), LIMITS.rssAnonBytes);
  demand("VmRSS at rest", bytes("VmRSS"), LIMITS.vmRssBytes);
}

async function measureStarts(executable: string, folder: string): Promise<void> {
  const times: number[] = [];
  // The first one is not warm.
  for (let start = 0; start <= WARM_STARTS; start++) {
    const ms = await timeStart(optionsIn(folder, `start-${start}`, executable));
    if (start > 0) times.push(ms);
  }
  times.sort((a, b) => a - b);
  const median = times[Math.floor(times.length / 2)] ?? Number.NaN;
  const verdict = median <= LIMITS.startMs ? "ok     " : "FLAGGED";
  const range = `${times[0]?.toFixed(0)} to ${times.at(-1)?.toFixed(0)} ms`;
  const what = `socket answers after start: ${median.toFixed(0)} ms, at most ${LIMITS.startMs} ms`;
  console.log(`${verdict}  ${what} (median of ${WARM_STARTS} warm starts, ${range})`);
}

/** Milliseconds from the start of the process to the first answer to Probe. */
async function timeStart(options: Parameters<typeof Driver.launch>[0]): Promise<number> {
  const startedMs = performance.now();
  await using driver = Driver.launch(options);
  let exited = false;
  void driver.exited.then(() => {
    exited = true;
  });
  for (;;) {
    if (exited) throw new Error(`the driver ended:\n${driver.output}`);
    if (existsSync(options.socketPath)) break;
    await delay(1);
  }
  using client = createConnectClient(options.socketPath);
  await client.probe({ timeoutMs: 10_000 });
  return performance.now() - startedMs;
}

/** With all of its sockets, as the manifests run it. */
function optionsIn(folder: string, name: string, executable: string) {
  const own = join(folder, name);
  return {
    flavour: "executable" as const,
    executable,
    socketPath: join(own, "csi.sock"),
    dataDir: join(own, "data"),
    flags: [`--registration-dir=${join(own, "registration")}`, "--http-endpoint=127.0.0.1:19818", "--log-level=info"],
  };
}

function measureImage(): void {
  const images = readLayout(LAYOUT);
  if (images.size === 0) console.log("skipped: the size of the image (there is no dist/image: npm run image)");
  for (const [architecture, manifest] of images) {
    demand(`image linux/${architecture}, compressed`, layerBytes(manifest), MAX_LAYER_BYTES);
  }
}

function demand(what: string, bytes: number, limit: number): void {
  const isWithin = bytes <= limit;
  if (!isWithin) failed = true;
  const megabytes = (value: number) => (value / 1e6).toFixed(1);
  console.log(`${isWithin ? "ok     " : "FAILED "}  ${what}: ${megabytes(bytes)} MB, at most ${megabytes(limit)} MB`);
}
