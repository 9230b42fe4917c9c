// `npx node bench/long-run.ts [VOLUMES]`: publishes and unpublishes so many volumes of 50 artifacts, while the cache is
// too small for all of them. Prints how the driver's memory grew after a warm-up of 20,000 calls, and what was left:
// goals are less than 10 MB, and nothing but trees that nobody uses.
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { ensureFreshBuild } from "../scripts/fresh-build.ts";
import { type CsiClient, Sandbox } from "../test/driver/index.ts";
import { artifact, EmbeddedRegistry, fileLayer, push } from "../test/registry/index.ts";
import { memoryOf } from "./measure.ts";

const DEFAULT_VOLUMES = 10_000;
const WARM_UP_CALLS = 20_000;
const ARTIFACTS = 50;
const ARTIFACT_BYTES = 100_000;
/** Room for half of the artifacts. */
const CACHE_BYTES = (ARTIFACTS * ARTIFACT_BYTES) / 2;
const AT_ONCE = 4;

const count = Number(process.argv[2] ?? DEFAULT_VOLUMES);
ensureFreshBuild((line) => process.stderr.write(`${line}\n`));
await using registry = await EmbeddedRegistry.start();
const references = await Promise.all(Array.from({ length: ARTIFACTS }, pushArtifact));
const flags = ["--log-level=warn", `--cache-max-bytes=${CACHE_BYTES}`];
await using sandbox = await Sandbox.start({ flags });
let targetsLeft = 0;
using client = sandbox.driver.connect();
await publishAndUnpublish(WARM_UP_CALLS / 2);
const before = look();
await publishAndUnpublish(count);
const after = look();
console.log(
  `${count} volumes: RssAnon ${mb(before.memory)} -> ${mb(after.memory)}, descriptors ${before.descriptors} -> ` +
    `${after.descriptors}; left: ${sandbox.mounts().length} mounts, ${targetsLeft} targets, ` +
    `${(await sandbox.dataNames("volumes")).length} records and folders of volumes, ` +
    `${(await sandbox.dataNames("tmp")).length + (await sandbox.dataNames("ingest")).length} names in tmp/ and ingest/, ` +
    `${(await sandbox.dataNames("trees")).length / 2} trees`,
);

async function pushArtifact(_: unknown, number: number): Promise<string> {
  const reference = `${registry.host}/bench/thing:v${number}`;
  const content = Buffer.alloc(ARTIFACT_BYTES, `${number} `);
  await push(registry, "bench/thing", artifact([fileLayer("a", content)]), `v${number}`);
  return reference;
}

async function publishAndUnpublish(volumes: number): Promise<void> {
  const numbers = Array.from({ length: volumes }, (_, i) => i).values();
  const next = async () => {
    for (const number of numbers) await once(client, references[number % ARTIFACTS] ?? "");
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
}

async function once(asking: CsiClient, reference: string): Promise<void> {
  const attributes = { "oras.artifact.reference": reference, "oras.options.plainhttp": "true" };
  const volume = sandbox.kubelet.volume({ attributes });
  mkdirSync(dirname(volume.targetPath), { recursive: true });
  await asking.publish(volume.request());
  await asking.unpublish(volume.volumeId, volume.targetPath);
  if (existsSync(volume.targetPath)) targetsLeft++;
}

function look(): { readonly memory: number; readonly descriptors: number } {
  const { pid } = sandbox.driver;
  return { memory: memoryOf(pid, "RssAnon"), descriptors: readdirSync(join("/proc", String(pid), "fd")).length };
}

function mb(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}
