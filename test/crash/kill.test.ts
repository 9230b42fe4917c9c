import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { describe, test } from "node:test";
import { CacheCommand } from "../cache-command/support.ts";
import { Sandbox } from "../driver/index.ts";
import { Prng } from "../helpers/prng.ts";
import { assertNothingLeft, REAL, untilSwept } from "../integration/support.ts";
import { EmbeddedRegistry } from "../registry/index.ts";
import { assertShows, createWorkload, type WorkVolume, workUntilGone } from "./workload.ts";

const ROUNDS = 4;
const KILLS_A_ROUND = 10;
const VOLUMES = 20;
/** Within it the driver pulls, publishes, unpublishes and collects, or starts. */
const LONGEST_LIFE_MS = 1500;
/** Less than the artifacts take together: something is always collected. */
const CACHE_BYTES = 3_600_000;

describe("a driver that is killed", REAL, () => {
  for (let round = 0; round < ROUNDS; round++) {
    test(`at ${KILLS_A_ROUND} random moments loses nothing and leaves nothing (${round + 1} of ${ROUNDS})`, async (t) => {
      const seed = Number(process.env["ORAS_CSI_TEST_SEED"] ?? Date.now() % 2 ** 31);
      t.diagnostic(`seed ${seed} (ORAS_CSI_TEST_SEED)`);
      const random = new Prng(seed + round);
      await using registry = await EmbeddedRegistry.start({ bytesPerSecond: 12_000_000 });
      await using sandbox = await Sandbox.create({ flags: [`--cache-max-bytes=${CACHE_BYTES}`] });
      const volumes = await createWorkload(registry, sandbox, VOLUMES);
      let [answers, evictions] = [0, 0];
      for (let kill = 0; kill < KILLS_A_ROUND; kill++) {
        // A driver that is gone takes nothing away.
        await assertKept(sandbox, volumes);
        const driver = sandbox.launchDriver();
        // Some die while they start.
        if (!random.oneIn(4)) await driver.ready();
        const killed = delay(random.below(LONGEST_LIFE_MS)).then(() => driver.stop("SIGKILL"));
        await Promise.race([killed, driver.ready().catch(() => undefined)]);
        answers += await workUntilGone(sandbox.socketPath, volumes, random);
        await killed;
        evictions += driver.output.split("a tree was taken out of the cache").length - 1;
      }
      t.diagnostic(`${answers} calls were answered between the kills, ${evictions} trees were evicted`);
      await assertWhole(sandbox, volumes);
    });
  }
});

/** What kubelet knows to be published is mounted, shows what it should, and has a record. */
async function assertKept(sandbox: Sandbox, volumes: readonly WorkVolume[]): Promise<void> {
  const published = volumes.filter(({ state }) => state === "published");
  const mounted = new Set(sandbox.mounts().map(({ target }) => target));
  const recorded = new Set(await recordedTargets(sandbox));
  for (const one of published) {
    const { targetPath } = one.volume;
    assert.deepEqual(
      [mounted.has(targetPath), recorded.has(targetPath)],
      [true, true],
      `mount, record of ${targetPath}`,
    );
    await assertShows(one);
  }
}

async function assertWhole(sandbox: Sandbox, volumes: readonly WorkVolume[]): Promise<void> {
  const driver = await sandbox.startDriver();
  await assertKept(sandbox, volumes);
  // Kubelet unpublishes what it is not sure of.
  for (const { volume } of volumes.filter(({ state }) => state === "unsure")) await volume.unpublish();
  assert.deepEqual(
    (await recordedTargets(sandbox)).sort(),
    sandbox
      .mounts()
      .map(({ target }) => target)
      .sort(),
  );
  for (const { volume } of volumes) await volume.unpublish();
  // One at a time: together they are more than the cache may hold.
  for (const one of volumes) {
    await one.volume.publish();
    await assertShows(one);
    await one.volume.unpublish();
  }
  await assertNothingLeft(sandbox);
  const cache = new CacheCommand(sandbox.dataDir);
  assert.deepEqual((await cache.json("verify")).faults, []);
  // A lease that was left over would keep its tree.
  assert.equal((await cache.json("prune")).left, 0);
  await untilSwept(sandbox);
  assert.doesNotMatch(driver.output, /unexpected driver failure|"level":"error"/);
}

async function recordedTargets(sandbox: Sandbox): Promise<string[]> {
  const names = (await sandbox.dataNames("volumes")).filter((name) => name.endsWith(".json"));
  const records = names.map(async (name) => JSON.parse(await readFile(join(sandbox.dataDir, "volumes", name), "utf8")));
  return (await Promise.all(records)).map(({ targetPath }) => String(targetPath));
}
