// `npx node bench/publish.ts [TREES...]`: how long NodePublishVolume takes through the socket while the cache is warm,
// with few trees in the cache and with many. Prints one line a size; goals are p50 <= 3 ms and p99 <= 15 ms with each.
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { type CsiClient, Sandbox } from "../test/driver/index.ts";
import { artifact, EmbeddedRegistry, fileLayer, push } from "../test/registry/index.ts";
import { ensureFreshBuild } from "../scripts/fresh-build.ts";
import { percentile } from "./percentile.ts";

const DEFAULT_SIZES = [10, 10_000];
const WARM_UP = 200;
const PUBLISHES = 2_000;
/** Volumes that are published at a time, then unpublished again. */
const BATCH = 50;
const PULLS_AT_ONCE = 8;

const sizes = process.argv.slice(2).map(Number);
ensureFreshBuild((line) => process.stderr.write(`${line}\n`));
for (const trees of sizes.length > 0 ? sizes : DEFAULT_SIZES) await measure(trees);

async function measure(trees: number): Promise<void> {
  await using registry = await EmbeddedRegistry.start();
  await using sandbox = await Sandbox.start({ flags: ["--log-level=warn", `--max-pulls=${PULLS_AT_ONCE}`] });
  using client = sandbox.driver.connect();
  const references = await fill(registry, sandbox, client, trees);
  await timePublishes(sandbox, client, references, WARM_UP);
  const times = await timePublishes(sandbox, client, references, PUBLISHES);
  const [p50, p99] = [0.5, 0.99].map((share) => `${percentile(times, share).toFixed(2)} ms`);
  console.log(`${String(trees).padStart(6)} trees: publish p50 ${p50}, p99 ${p99} (${times.length} publishes)`);
}

/** Has the driver pull so many artifacts; their references. */
async function fill(registry: EmbeddedRegistry, sandbox: Sandbox, client: CsiClient, trees: number): Promise<string[]> {
  const references: string[] = [];
  const numbers = Array.from({ length: trees }, (_, i) => i).values();
  const pullNext = async () => {
    for (const number of numbers) {
      const reference = `${registry.host}/bench/thing:v${number}`;
      await push(registry, "bench/thing", artifact([fileLayer("a", `${number}\n`)]), `v${number}`);
      await once(sandbox, client, reference);
      references.push(reference);
    }
  };
  await Promise.all(Array.from({ length: PULLS_AT_ONCE }, pullNext));
  return references;
}

async function once(sandbox: Sandbox, client: CsiClient, reference: string): Promise<void> {
  const volume = requestFor(sandbox, reference);
  await client.publish(volume);
  await client.unpublish(volume.volumeId, volume.targetPath);
}

/** Milliseconds of each publish, one after the other; every batch is unpublished before the next one. */
async function timePublishes(
  sandbox: Sandbox,
  client: CsiClient,
  references: readonly string[],
  count: number,
): Promise<number[]> {
  const times: number[] = [];
  while (times.length < count) {
    const batch = Array.from({ length: BATCH }, (_, i) =>
      requestFor(sandbox, references[(times.length + i) % references.length] ?? ""),
    );
    for (const volume of batch) {
      const startedMs = performance.now();
      await client.publish(volume);
      times.push(performance.now() - startedMs);
    }
    for (const { volumeId, targetPath } of batch) await client.unpublish(volumeId, targetPath);
  }
  return times;
}

function requestFor(sandbox: Sandbox, reference: string) {
  const attributes = { "oras.artifact.reference": reference, "oras.options.plainhttp": "true" };
  const volume = sandbox.kubelet.volume({ attributes });
  // What kubelet makes before it calls.
  mkdirSync(dirname(volume.targetPath), { recursive: true });
  return volume.request();
}
