import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { isKind } from "../../test/helpers/is-kind.ts";
import {
  assertNothingLeft,
  makeTree,
  publishWritten,
  useVolumes,
  type VolumeBench,
} from "../../test/helpers/volume-bench.ts";
import { DriverError, type ErrorKind } from "../base/index.ts";

describe("publish", () => {
  test("a read-only volume is a bind of the tree, a second call changes nothing", async () => {
    await using bench = await useVolumes();
    const { mounter, artifacts, target, tree } = bench;
    assert.equal(await bench.volumes.publish(bench.request()), "published");
    assert.equal(await bench.volumes.publish(bench.request()), "unchanged");
    assert.equal(artifacts.asked.length, 1);
    assert.equal(mounter.depth(target), 1);
    const [call] = mounter.calls;
    assert.ok(call?.kind === "bind");
    assert.equal(call.options.source, tree.folder);
    assert.equal(call.options.readOnly, true);
    assert.equal(statSync(target).mode & 0o7777, 0o750);
    await bench.volumes.unpublish(bench.request());
    assertNothingLeft(bench);
  });

  test("a tree that the cache has is mounted without asking for it, but not under what was written over another", async () => {
    await using bench = await useVolumes();
    const { mounter, artifacts, tree, target } = bench;
    const { leases } = bench.area.cache;
    const other = await makeTree(bench.area.cache, "2".repeat(64));
    artifacts.onCached = async () => ({ tree: other, lease: await leases.hold(other.id) });
    assert.equal(await bench.volumes.publish(bench.request()), "published");
    assert.equal(await bench.volumes.publish(bench.request()), "unchanged");
    assert.deepEqual([artifacts.asked.length, artifacts.withCached.length], [0, 1]);
    assert.deepEqual([mounter.depth(target), leases.count(other.id)], [1, 1]);
    await bench.volumes.unpublish(bench.request());
    assert.equal(leases.count(other.id), 0);
    assertNothingLeft(bench);
    const cached = artifacts.onCached;
    artifacts.onCached = () => Promise.resolve(undefined);
    const writable = bench.request({ readOnly: false });
    await bench.volumes.publish(writable);
    await mounter.unmount(target, "detach");
    artifacts.onCached = cached;
    await bench.volumes.publish(writable);
    const lowers = mounter.calls.flatMap((call) => (call.kind === "overlay" ? call.options.lower : []));
    assert.deepEqual(lowers, [tree.folder, tree.folder]);
    await bench.volumes.unpublish(writable);
    assertNothingLeft(bench);
  });

  test("a writable volume is an overlay of its own, and its writes go with it", async () => {
    await using bench = await useVolumes();
    await bench.volumes.publish(bench.request({ readOnly: false, mountFlags: ["noexec"] }));
    await bench.volumes.publish(bench.request({ readOnly: false }));
    const [call, ...rest] = bench.mounter.calls;
    assert.ok(call?.kind === "overlay");
    assert.deepEqual(rest, []);
    assert.equal(call.options.lower, bench.tree.folder);
    assert.equal(call.options.flags.noexec, true);
    assert.equal(statSync(call.options.upper).mode & 0o7777, 0o777);
    await bench.volumes.unpublish(bench.request());
    assertNothingLeft(bench);
  });

  test("after a reboot a writable volume is put over the tree that its writes belong to", async () => {
    await using bench = await useVolumes();
    const writable = bench.request({ readOnly: false });
    await publishWritten(bench);
    await bench.mounter.unmount(bench.target, "detach");
    bench.artifacts.onPresent = () => makeTree(bench.area.cache, "2".repeat(64));
    assert.equal(await bench.volumes.publish(writable), "published");
    const again = bench.mounter.calls.at(-1);
    assert.ok(again?.kind === "overlay");
    assert.equal(again.options.lower, bench.tree.folder);
    assert.deepEqual(readdirSync(again.options.upper), ["mine"]);
    assert.equal(bench.artifacts.asked.length, 1);
  });

  test("where that tree is gone, the writes go with it: over another one they would mean something else", async () => {
    await using bench = await useVolumes();
    const writable = bench.request({ readOnly: false });
    await publishWritten(bench);
    await bench.mounter.unmount(bench.target, "detach");
    rmSync(bench.tree.folder, { recursive: true });
    const other = await makeTree(bench.area.cache, "2".repeat(64));
    bench.artifacts.onPresent = () => Promise.resolve(other);
    await bench.volumes.publish(writable);
    const again = bench.mounter.calls.at(-1);
    assert.ok(again?.kind === "overlay");
    assert.equal(again.options.lower, other.folder);
    assert.deepEqual(readdirSync(again.options.upper), []);
  });

  test("what the node fills in is asked for, what the volume says wins", async () => {
    await using bench = await useVolumes();
    await bench.volumes.publish(bench.request({ secrets: { username: "u" } }));
    const [asked] = bench.artifacts.asked;
    assert.equal(asked?.concurrency, 4);
    assert.equal(asked?.platform.architecture, "amd64");
    assert.equal(asked?.namespace, "_");
    assert.deepEqual(asked?.secrets, { username: "u" });
    const volumeContext = {
      ...bench.request().volumeContext,
      "oras.options.concurrency": "2",
      "oras.artifact.platform": "linux/arm64",
    };
    await bench.volumes.publish(bench.request({ volumeId: "csi-2", targetPath: `${bench.target}-2`, volumeContext }));
    assert.equal(bench.artifacts.asked[1]?.concurrency, 2);
    assert.equal(bench.artifacts.asked[1]?.platform.architecture, "arm64");
  });

  test("a republish is answered whatever the registry does, also after a restart and over another spelling", async () => {
    await using bench = await useVolumes();
    await bench.volumes.publish(bench.request());
    bench.artifacts.onPresent = () => Promise.reject(new DriverError("unavailable", "no registry"));
    await bench.restart();
    const volumeContext = { "oras.artifact.reference": "oras://GHCR.IO/org/thing:v1", "oras.options.concurrency": "9" };
    await bench.volumes.publish(bench.request({ volumeContext, targetPath: `${bench.target}/` }));
    await bench.volumes.unpublish(bench.request({ targetPath: `${bench.target}/` }));
    assertNothingLeft(bench);
  });

  test("a volume whose mount is gone is mounted anew, with its writes", async () => {
    await using bench = await useVolumes();
    const upper = await publishWritten(bench);
    await bench.mounter.unmount(bench.target, "plain");
    await bench.restart();
    await bench.volumes.publish(bench.request({ readOnly: false }));
    assert.equal(bench.mounter.depth(bench.target), 1);
    assert.ok(existsSync(join(upper, "mine")));
  });

  test("dead mounts are replaced, even stacked ones", async () => {
    await using bench = await useVolumes();
    await bench.volumes.publish(bench.request());
    for (let i = 0; i < 2; i++) bench.mounter.mountForeign(bench.target, { dead: true });
    await bench.volumes.publish(bench.request());
    assert.equal(bench.mounter.depth(bench.target), 1);
    assert.equal(bench.artifacts.asked.length, 1, "the volume's own mount was below them");
  });

  test("one id at two targets is two volumes", async () => {
    await using bench = await useVolumes();
    const second = `${bench.target}-2`;
    await bench.volumes.publish(bench.request());
    await bench.volumes.publish(bench.request({ targetPath: second, readOnly: false }));
    await bench.volumes.unpublish(bench.request());
    assert.deepEqual(bench.mounter.targets, [second]);
    await bench.volumes.unpublish(bench.request({ targetPath: second }));
    assertNothingLeft(bench);
  });

  test("many calls for one volume at once make one mount", async () => {
    await using bench = await useVolumes();
    await Promise.all(Array.from({ length: 10 }, () => bench.volumes.publish(bench.request())));
    assert.equal(bench.mounter.depth(bench.target), 1);
  });

  test("of two volumes that want one target at once, one gets it", async () => {
    await using bench = await useVolumes();
    const calls = ["a", "b"].map((volumeId) => bench.volumes.publish(bench.request({ volumeId })));
    const outcomes = await Promise.allSettled(calls);
    const failed = outcomes.filter((outcome) => outcome.status === "rejected");
    assert.equal(failed.length, 1);
    isKind("conflict", /another volume/)(failed[0]?.reason);
    assert.equal(bench.mounter.depth(bench.target), 1);
  });
});

describe("refused targets stay as they are", () => {
  const rows: readonly {
    name: string;
    make: (bench: VolumeBench) => unknown;
    kind: ErrorKind;
    says: RegExp;
  }[] = [
    { name: "a file", make: ({ target }) => writeFileSync(target, "x"), kind: "refused", says: /is a file/ },
    {
      name: "a symlink",
      make: ({ target, area }) => symlinkSync(area.folder, target),
      kind: "refused",
      says: /symlink/,
    },
    {
      name: "a full folder",
      make: ({ target }) => mkdirSync(join(target, "x"), { recursive: true }),
      kind: "refused",
      says: /something in it/,
    },
    {
      name: "a foreign mount",
      make: ({ target, mounter }) => {
        mkdirSync(target);
        mounter.mountForeign(target);
      },
      kind: "refused",
      says: /not this volume's/,
    },
    {
      name: "another volume",
      make: (bench) => bench.volumes.publish(bench.request({ volumeId: "other" })),
      kind: "conflict",
      says: /another volume, other,/,
    },
    {
      name: "the volume with other attributes",
      make: (bench) => bench.volumes.publish(bench.request({ volumeContext: { "oras.artifact.reference": "a.io/x" } })),
      kind: "conflict",
      says: /with other attributes already/,
    },
    {
      name: "the volume, writable",
      make: (bench) => bench.volumes.publish(bench.request({ readOnly: false })),
      kind: "conflict",
      says: /with other attributes already/,
    },
  ];
  for (const { name, make, kind, says } of rows) {
    test(name, async () => {
      await using bench = await useVolumes();
      await make(bench);
      const records = readdirSync(bench.area.cache.layout.volumes);
      const depth = bench.mounter.depth(bench.target);
      await assert.rejects(bench.volumes.publish(bench.request()), isKind(kind, says));
      assert.deepEqual(readdirSync(bench.area.cache.layout.volumes), records);
      assert.equal(bench.mounter.depth(bench.target), depth);
      assert.ok(statSync(bench.target), "the target is still there");
      assert.equal(bench.artifacts.left.length, 1);
    });
  }
});
