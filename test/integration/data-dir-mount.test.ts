import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Sandbox } from "../driver/index.ts";
import { artifact, EmbeddedRegistry, folderLayer } from "../registry/index.ts";
import { attributes, pushThing, REAL } from "./support.ts";

const WARNING = /mounted noexec: programs in read-only volumes cannot be run/g;

/** A sandbox whose data dir is a file system of its own, mounted with these options. */
async function useDataDirOn(options: string): Promise<Sandbox> {
  const sandbox = await Sandbox.create();
  mkdirSync(sandbox.dataDir);
  execFileSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", sandbox.dataDir]);
  return sandbox;
}

for (const { options, runs } of [
  { options: "rw", runs: true },
  { options: "nosuid,nodev", runs: true },
  { options: "noexec,nosuid,nodev", runs: false },
]) {
  test(
    `a data dir mounted ${options}: volumes are served, ${runs ? "without a word" : "with one warning"}`,
    REAL,
    async () => {
      await using registry = await EmbeddedRegistry.start();
      const files = { program: { content: "#!/bin/sh\necho runs\n", mode: 0o755 } };
      const reference = await pushThing(registry, artifact([await folderLayer("bin", files)]));
      await using sandbox = await useDataDirOn(options);
      const driver = await sandbox.startDriver();
      for (const readOnly of [true, false]) {
        const volume = sandbox.kubelet.volume({ attributes: attributes(reference), readOnly });
        await volume.publish();
        const { stdout } = spawnSync(join(volume.targetPath, "bin/program"), { encoding: "utf8" });
        // An overlay is a file system with options of its own.
        assert.equal(stdout ?? "", runs || !readOnly ? "runs\n" : "");
        await volume.unpublish();
      }
      assert.equal((await driver.stop()).code, 0);
      assert.equal(driver.output.match(WARNING)?.length ?? 0, runs ? 0 : 1, driver.output);
    },
  );
}

test("a data dir that is read-only ends the driver with one line that says so", REAL, async () => {
  await using sandbox = await useDataDirOn("ro");
  const driver = sandbox.launchDriver();
  assert.equal((await driver.exited).code, 1);
  assert.match(driver.output, /cannot write the data dir \S+ \(EROFS\): see --data-dir/);
});
