import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { describe, test } from "node:test";
import { Sandbox } from "../driver/index.ts";
import { Prng } from "../helpers/prng.ts";
import { soon } from "../helpers/soon.ts";
import { assertBlobsWhole, assertNothingLeft, REAL } from "../integration/support.ts";
import { EmbeddedRegistry } from "../registry/index.ts";
import { assertShows, createWorkload, type WorkVolume, workUntilGone } from "./workload.ts";

const ROUNDS = 4;
const KILLS_A_ROUND = 10;
const VOLUMES = 16;
/** Within it the driver pulls, publishes, unpublishes and collects, or starts. */
const LONGEST_LIFE_MS = 500;
/** Less than the artifacts take together: something is always collected. */
const CACHE_BYTES = 1_500_000;

describe("a driver that is killed", REAL, () => {
  for (let round = 0; round < ROUNDS; round++) {
    test(`at ${KILLS_A_ROUND} random moments loses nothing and leaves nothing (${round + 1} of ${ROUNDS})`, async (t) => {
      const seed = Number(process.env["ORAS_CSI_TEST_SEED"] ?? Date.now() % 2 ** 31);
      t.diagnostic(`seed ${seed} (ORAS_CSI_TEST_SEED)`);
      const random = new Prng(seed + round);
      await using registry = await EmbeddedRegistry.start({ bytesPerSecond: 4_000_000 });
      await using sandbox = await Sandbox.create({ flags: [`--cache-max-bytes=${CACHE_BYTES}`] });
      const volumes = await createWorkload(registry, sandbox, VOLUMES);
      let answers = 0;
      for (let kill = 0; kill < KILLS_A_ROUND; kill++) {
        const driver = sandbox.launchDriver();
        // Some die while they start.
        if (!random.oneIn(4)) await driver.ready();
        const killed = delay(random.below(LONGEST_LIFE_MS)).then(() => driver.stop("SIGKILL"));
        await Promise.race([killed, driver.ready().catch(() => undefined)]);
        answers += await workUntilGone(sandbox.socketPath, volumes, random);
        await killed;
      }
      t.diagnostic(`${answers} calls were answered between the kills`);
      await assertWhole(sandbox, volumes);
    });
  }
});

async function assertWhole(sandbox: Sandbox, volumes: readonly WorkVolume[]): Promise<void> {
  const driver = await sandbox.startDriver();
  const published = volumes.filter(({ state }) => state === "published");
  for (const one of published) await assertShows(one);
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
  await soon(async () => assert.deepEqual(await sandbox.dataNames("tmp"), []));
  await assertBlobsWhole(sandbox);
  assert.doesNotMatch(driver.output, /unexpected driver failure|"level":"error"/);
}

async function recordedTargets(sandbox: Sandbox): Promise<string[]> {
  const names = (await sandbox.dataNames("volumes")).filter((name) => name.endsWith(".json"));
  const records = names.map(async (name) => JSON.parse(await readFile(join(sandbox.dataDir, "volumes", name), "utf8")));
  return (await Promise.all(records)).map(({ targetPath }) => String(targetPath));
}
