import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { describe, test } from "node:test";
import { CacheCommand } from "../cache-command/support.ts";
import { Sandbox, unmountBelow } from "../driver/index.ts";
import { Prng } from "../helpers/prng.ts";
import { type SmallDisk, useSmallDisk, whyNoSmallDisk } from "../helpers/small-disk.ts";
import { assertNothingLeft, REAL } from "../integration/support.ts";
import { EmbeddedRegistry } from "../registry/index.ts";
import { assertShows, createWorkload, workUntilGone } from "./workload.ts";

const LOSSES = 6;
const VOLUMES = 12;
const LONGEST_LIFE_MS = 700;
const MIB = 1024 * 1024;

/** The file system forgets what was not written to it yet, as when the power goes. */
function losePower({ path }: SmallDisk): void {
  execFileSync("xfs_io", ["-F", "-x", "-c", "shutdown", path]);
}

const whyNot = REAL.skip || whyNoSmallDisk() || whyNoShutdown();

function whyNoShutdown(): string | false {
  return spawnSync("xfs_io", ["-V"]).error !== undefined && "xfs_io (Debian's xfsprogs) is not installed";
}

describe("a node that loses power", { skip: whyNot }, () => {
  for (const type of ["ext4", "xfs"] as const) {
    test(`at ${LOSSES} random moments serves no wrong byte afterwards, and nothing is corrupt (${type})`, async (t) => {
      const seed = Number(process.env["ORAS_CSI_TEST_SEED"] ?? Date.now() % 2 ** 31);
      t.diagnostic(`seed ${seed} (ORAS_CSI_TEST_SEED)`);
      const random = new Prng(seed);
      await using registry = await EmbeddedRegistry.start({ bytesPerSecond: 12_000_000 });
      using disk = useSmallDisk({ type, sizeBytes: 320 * MIB });
      await using sandbox = await Sandbox.create({ dataDir: join(disk.path, "data") });
      const volumes = await createWorkload(registry, sandbox, VOLUMES);
      let answers = 0;
      for (let loss = 0; loss < LOSSES; loss++) {
        const driver = await sandbox.startDriver();
        const lost = delay(random.below(LONGEST_LIFE_MS)).then(async () => {
          losePower(disk);
          await driver.stop("SIGKILL");
        });
        answers += await workUntilGone(sandbox.socketPath, volumes, random);
        await lost;
        assert.doesNotMatch(driver.output, /is corrupt|not whole|other bytes/);
        unmountBelow(sandbox.kubeletFolder);
        await disk.remount();
        // Kubelet starts anew, too: what it does not know it takes away.
        for (const one of volumes) one.state = "unsure";
      }
      t.diagnostic(`${answers} calls were answered between the losses`);
      const driver = await sandbox.startDriver();
      for (const one of volumes) {
        await one.volume.unpublish();
        await one.volume.publish();
        await assertShows(one);
        await one.volume.unpublish();
      }
      await assertNothingLeft(sandbox);
      assert.deepEqual((await new CacheCommand(sandbox.dataDir).json("verify")).faults, []);
      assert.doesNotMatch(driver.output, /is corrupt|not whole|other bytes|unexpected driver failure/);
    });
  }
});
