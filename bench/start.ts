// `npx node bench/start.ts [SHARE]`: how soon a driver answers whose data dir holds 300,000 files in tmp/, 2,000 volume
// records and 10,000 trees, or a share of them (0.1 say). Goals: GetPluginInfo and Probe within 1 s of the start, a
// cached tree published within 3 s. Then the slowest of the publishes while the driver looks through what it has.
import { copyFileSync, linkSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { ensureFreshBuild } from "../scripts/fresh-build.ts";
import { Sandbox } from "../test/driver/index.ts";
import { artifact, EmbeddedRegistry, fileLayer, push } from "../test/registry/index.ts";

const SHARE = Number(process.argv[2] ?? 1);
const LEFTOVERS = 300_000 * SHARE;
const LEFTOVERS_A_FOLDER = 1_000;
const TREES = 10_000 * SHARE;
const VOLUMES = 2_000 * SHARE;
const PUBLISHED_AT_ONCE = 8;
/** The driver begins to look through its trees 10 s after its start. */
const WATCHED_MS = 20_000;

ensureFreshBuild((line) => process.stderr.write(`${line}\n`));
await using registry = await EmbeddedRegistry.start();
await push(registry, "bench/thing", artifact([fileLayer("a", "a\n")]), "v1");
await using sandbox = await Sandbox.start();
const attributes = {
  "oras.artifact.reference": `${registry.host}/bench/thing:v1`,
  "oras.options.plainhttp": "true",
};
const volumes = Array.from({ length: VOLUMES }, () => sandbox.kubelet.volume({ attributes }));
const unpublished = volumes.values();
const publishNext = async () => {
  for (const volume of unpublished) await volume.publish();
};
await Promise.all(Array.from({ length: PUBLISHED_AT_ONCE }, publishNext));
await sandbox.driver.stop("SIGTERM");
fill();
const startedMs = performance.now();
const driver = sandbox.launchDriver();
await firstAnswer(async () => {
  using client = driver.connect();
  await client.pluginInfo();
  await client.probe();
});
const answeredMs = performance.now() - startedMs;
const volume = sandbox.kubelet.volume({ attributes });
await firstAnswer(() => volume.publish());
const publishedMs = performance.now() - startedMs;
const left = readdirSync(join(sandbox.dataDir, "tmp")).length;
console.log(
  `answered ${Math.round(answeredMs)} ms after the start, published after ${Math.round(publishedMs)} ms, ` +
    `while tmp/ ${left > 0 ? "was still being emptied" : "was empty already"}`,
);
let slowestMs = 0;
while (performance.now() - startedMs < WATCHED_MS) {
  const next = sandbox.kubelet.volume({ attributes });
  const askedMs = performance.now();
  await next.publish();
  slowestMs = Math.max(slowestMs, performance.now() - askedMs);
  await next.unpublish();
}
console.log(`the slowest publish until ${WATCHED_MS / 1000} s after the start took ${Math.round(slowestMs)} ms`);

/** What crashes and years leave behind. */
function fill(): void {
  const { dataDir } = sandbox;
  for (let i = 0; i < LEFTOVERS; i++) {
    const folder = join(dataDir, "tmp", `left-${Math.floor(i / LEFTOVERS_A_FOLDER)}`);
    if (i % LEFTOVERS_A_FOLDER === 0) mkdirSync(folder);
    writeFileSync(join(folder, String(i)), "");
  }
  const [id = ""] = readdirSync(join(dataDir, "trees")).filter((name) => /^[0-9a-f]{64}$/.test(name));
  const record = readFileSync(join(dataDir, "trees", `${id}.json`), "utf8");
  for (let i = 0; i < TREES; i++) {
    const other = i.toString(16).padStart(64, "0");
    const folder = join(dataDir, "trees", other);
    mkdirSync(folder);
    place(join(dataDir, "trees", id, "a"), join(folder, "a"));
    writeFileSync(`${folder}.json`, record.replaceAll(id, other));
  }
}

/** A link, or a copy where a file has as many links as it can. */
function place(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    copyFileSync(from, to);
  }
}

async function firstAnswer(ask: () => Promise<void>): Promise<void> {
  mkdirSync(dirname(sandbox.socketPath), { recursive: true });
  for (;;) {
    try {
      return await ask();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}
