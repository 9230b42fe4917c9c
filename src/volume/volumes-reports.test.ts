import assert from "node:assert/strict";
import { rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { useVolumes } from "../../test/helpers/volume-bench.ts";

describe("stats", () => {
  test("a read-only volume is full of its tree", async () => {
    await using bench = await useVolumes();
    await bench.volumes.publish(bench.request());
    const { bytes, inodes } = await bench.volumes.stats({ volumeId: "csi-1", volumePath: bench.target });
    assert.deepEqual(bytes, { used: 7, total: 7, available: 0 });
    assert.deepEqual(inodes, { used: 2, total: 2, available: 0 });
  });

  test("a writable volume uses its upper layer, of the data dir's file system", async () => {
    await using bench = await useVolumes();
    await bench.volumes.publish(bench.request({ readOnly: false }));
    const [call] = bench.mounter.calls;
    assert.ok(call?.kind === "overlay");
    writeFileSync(join(call.options.upper, "mine"), "x".repeat(5000));
    const ask = () => bench.volumes.stats({ volumeId: "csi-1", volumePath: bench.target });
    let stats = await ask();
    assert.equal(stats.bytes.used, 0, "the call itself does not walk");
    for (; stats.inodes.used === 0; stats = await ask()) await setImmediate();
    assert.equal(stats.inodes.used, 1);
    assert.ok(stats.bytes.used >= 5000);
    const { blocks, bsize, files } = statfsSync(bench.area.dataDir);
    assert.equal(stats.bytes.total, blocks * bsize);
    assert.equal(stats.inodes.total, files);
    assert.ok(stats.bytes.available > 0);
  });

  test("unknown ones are not found", async () => {
    await using bench = await useVolumes();
    await bench.volumes.publish(bench.request());
    for (const [volumeId, volumePath] of [
      ["other", bench.target],
      ["csi-1", "/elsewhere"],
      ["csi-1", ""],
    ] as const) {
      await assert.rejects(bench.volumes.stats({ volumeId, volumePath }), { kind: "not-found" });
    }
  });

  test("a tree that is gone makes no number up", async () => {
    await using bench = await useVolumes();
    await bench.volumes.publish(bench.request());
    rmSync(bench.tree.folder, { recursive: true });
    const asked = { volumeId: "csi-1", volumePath: bench.target };
    await assert.rejects(bench.volumes.stats(asked), { kind: "unavailable", message: /ghcr\.io\/org\/thing:v1/ });
  });
});

describe("health", () => {
  for (const readOnly of [true, false]) {
    test(`a ${readOnly ? "read-only" : "writable"} volume that is mounted is well`, async () => {
      await using bench = await useVolumes();
      await bench.volumes.publish(bench.request({ readOnly }));
      for (const volumePath of [bench.target, undefined]) {
        assert.deepEqual(await bench.volumes.health({ volumeId: "csi-1", volumePath }), []);
      }
    });

    test(`a ${readOnly ? "read-only" : "writable"} volume is inaccessible when its mount is gone, dead or another's`, async () => {
      await using bench = await useVolumes();
      await bench.volumes.publish(bench.request({ readOnly }));
      const ask = async () =>
        (await bench.volumes.health({ volumeId: "csi-1", volumePath: bench.target })).map((e) => e.reason);
      for (const dead of [true, false]) {
        bench.mounter.mountForeign(bench.target, { dead });
        assert.deepEqual(await ask(), ["MountMissing"]);
        await bench.mounter.unmount(bench.target, "plain");
      }
      assert.deepEqual(await ask(), []);
      await bench.mounter.unmount(bench.target, "plain");
      assert.deepEqual(await ask(), ["MountMissing"]);
    });
  }

  test("without a path it is the worst of the id's targets", async () => {
    await using bench = await useVolumes();
    const second = `${bench.target}-2`;
    await bench.volumes.publish(bench.request());
    await bench.volumes.publish(bench.request({ targetPath: second }));
    await bench.mounter.unmount(second, "plain");
    const ask = (volumePath?: string) => bench.volumes.health({ volumeId: "csi-1", volumePath });
    assert.deepEqual(
      (await ask()).map((entry) => entry.status),
      ["inaccessible"],
    );
    assert.deepEqual(await ask(bench.target), []);
    rmSync(bench.tree.folder, { recursive: true });
    assert.deepEqual(
      (await ask()).map((entry) => [entry.status, entry.reason]),
      [["data-loss", "TreeMissing"]],
    );
  });

  test("unknown ones are not found", async () => {
    await using bench = await useVolumes();
    await bench.volumes.publish(bench.request());
    for (const [volumeId, volumePath] of [
      ["other", undefined],
      ["other", bench.target],
      ["csi-1", "/elsewhere"],
    ] as const) {
      await assert.rejects(bench.volumes.health({ volumeId, volumePath }), { kind: "not-found" });
    }
  });
});
