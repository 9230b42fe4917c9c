import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Sandbox } from "../driver/index.ts";
import { attributes, pushThing, REAL, rejectsWith } from "../integration/support.ts";
import { artifact, EmbeddedRegistry, fileLayer } from "../registry/index.ts";
import { CacheCommand } from "./support.ts";

const FORMATS = /format 2, this driver writes format 1/;

test(
  "a data dir of a newer format: what is published stays, nothing new is, and the cache is not touched",
  REAL,
  async () => {
    await using registry = await EmbeddedRegistry.start();
    const reference = await pushThing(registry, artifact([fileLayer("a", "a\n")]));
    await using sandbox = await Sandbox.start();
    const volumes = [true, false].map((readOnly) => {
      return sandbox.kubelet.volume({ attributes: attributes(reference), readOnly });
    });
    for (const volume of volumes) await volume.publish();
    await sandbox.driver.stop();
    writeFileSync(join(sandbox.dataDir, "format.json"), '{"format": 2, "later": true}\n');
    const held = () =>
      ["blobs/sha256", "trees", "references", "layers"].map((name) => readdirSync(join(sandbox.dataDir, name)));
    const before = held();

    const driver = await sandbox.startDriver();
    for (const volume of volumes) {
      await volume.publish();
      assert.equal(readFileSync(join(volume.targetPath, "a"), "utf8"), "a\n");
    }
    const another = sandbox.kubelet.volume({ attributes: attributes(reference) });
    await rejectsWith(another.publish(), "FAILED_PRECONDITION", FORMATS);
    const cache = new CacheCommand(sandbox.dataDir);
    for (const command of ["ls", "verify --repair"]) {
      const { code, error } = await cache.run(command);
      assert.equal(code, 1);
      assert.match(error, FORMATS);
    }
    for (const volume of volumes) await volume.unpublish();
    await driver.stop();
    assert.match((await cache.run("prune")).error, FORMATS, "alone, too");
    assert.deepEqual(held(), before);
    assert.equal(readFileSync(join(sandbox.dataDir, "format.json"), "utf8"), '{"format": 2, "later": true}\n');
    assert.deepEqual(sandbox.mounts(), []);
  },
);
