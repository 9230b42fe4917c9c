import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { isKind } from "../../test/helpers/is-kind.ts";
import { assertNothingLeft, useVolumes } from "../../test/helpers/volume-bench.ts";
import type { Tree } from "../cache/index.ts";

describe("unpublish", () => {
  test("what somebody mounted over a read-only volume is unmounted as what may be the last mount of its file system", async () => {
    await using bench = await useVolumes();
    await bench.volumes.publish(bench.request());
    bench.mounter.mountForeign(bench.target);
    await bench.volumes.unpublish(bench.request());
    assertNothingLeft(bench);
    const ways = bench.mounter.calls.flatMap((call) => (call.kind === "unmount" ? call.how : []));
    assert.deepEqual(ways, ["plain", "plain"]);
  });

  test("an unknown volume is OK and whatever is there stays", async () => {
    await using bench = await useVolumes();
    mkdirSync(bench.target);
    bench.mounter.mountForeign(bench.target);
    await bench.volumes.unpublish(bench.request());
    assert.equal(bench.mounter.depth(bench.target), 1);
    assert.deepEqual(bench.mounter.calls, []);
  });

  test("what a pod writes at a target that only looks unknown stays, too", async () => {
    await using bench = await useVolumes();
    await bench.volumes.publish(bench.request({ readOnly: false }));
    const [call] = bench.mounter.calls;
    assert.ok(call?.kind === "overlay");
    for (const name of readdirSync(bench.area.cache.layout.volumes, { withFileTypes: true }))
      if (name.isFile()) rmSync(join(bench.area.cache.layout.volumes, name.name));
    await bench.restart();
    await bench.volumes.unpublish(bench.request());
    assert.equal(bench.mounter.depth(bench.target), 1);
    assert.ok(existsSync(call.options.upper));
  });

  test("what is already gone is no error", async () => {
    await using bench = await useVolumes();
    await bench.volumes.publish(bench.request());
    await bench.mounter.unmount(bench.target, "plain");
    rmSync(bench.target, { recursive: true });
    await bench.volumes.unpublish(bench.request());
    assertNothingLeft(bench);
  });

  test("somebody's files at the target are left, and the volume stays known until they are gone", async () => {
    await using bench = await useVolumes();
    await bench.volumes.publish(bench.request());
    writeFileSync(join(bench.target, "theirs"), "x");
    await assert.rejects(bench.volumes.unpublish(bench.request()), isKind("unavailable", /left alone/));
    assert.ok(existsSync(join(bench.target, "theirs")));
    renameSync(join(bench.target, "theirs"), join(bench.area.folder, "theirs"));
    await bench.volumes.unpublish(bench.request());
    assertNothingLeft(bench);
  });

  test("a publish that waits for its artifact is ended, and mounts nothing later", async () => {
    await using bench = await useVolumes();
    const asked = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<Tree>();
    bench.artifacts.onPresent = (_request, { signal }) => {
      signal.addEventListener("abort", () => gate.reject(signal.reason));
      asked.resolve();
      return gate.promise;
    };
    const rejected = assert.rejects(bench.volumes.publish(bench.request()), isKind("in-progress", /unpublished/));
    await asked.promise;
    await bench.volumes.unpublish(bench.request());
    await rejected;
    assert.equal(bench.artifacts.left.length, 1);
    assertNothingLeft(bench);
  });

  test("an artifact that comes in spite of the unpublish is not mounted", async () => {
    await using bench = await useVolumes();
    const asked = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<Tree>();
    bench.artifacts.onPresent = () => {
      asked.resolve();
      return gate.promise;
    };
    const rejected = assert.rejects(bench.volumes.publish(bench.request()), isKind("in-progress"));
    await asked.promise;
    await bench.volumes.unpublish(bench.request());
    gate.resolve(bench.tree);
    await rejected;
    assertNothingLeft(bench);
  });

  test("a publish that is only looking wants nothing any more", async () => {
    await using bench = await useVolumes();
    const { mounter, artifacts } = bench;
    const looking = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    const look = mounter.lookAt.bind(mounter);
    mounter.lookAt = async (path) => {
      looking.resolve();
      await gate.promise;
      return look(path);
    };
    artifacts.leave = () => gate.resolve();
    const publishing = assert.rejects(bench.volumes.publish(bench.request()), isKind("in-progress"));
    await looking.promise;
    await bench.volumes.unpublish(bench.request());
    await publishing;
    assert.deepEqual(bench.artifacts.asked, []);
  });

  test("a publish that looks while the cache has its tree is not mounted either", async () => {
    await using bench = await useVolumes();
    const { mounter, artifacts, tree } = bench;
    const { leases } = bench.area.cache;
    const looking = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    artifacts.onCached = async () => {
      looking.resolve();
      await gate.promise;
      return { tree, lease: await leases.hold(tree.id) };
    };
    artifacts.leave = () => gate.resolve();
    const publishing = assert.rejects(bench.volumes.publish(bench.request()), isKind("in-progress"));
    await looking.promise;
    await bench.volumes.unpublish(bench.request());
    await publishing;
    assert.deepEqual(mounter.calls, []);
    assert.equal(leases.count(tree.id), 0);
    assertNothingLeft(bench);
  });

  test("a publish that looks for the tree below its writes wants nothing any more", async () => {
    await using bench = await useVolumes();
    const writable = bench.request({ readOnly: false });
    await bench.volumes.publish(writable);
    await bench.mounter.unmount(bench.target, "detach");
    const { trees } = bench.area.cache;
    trees.find = async () => {
      await bench.volumes.unpublish(writable);
      return undefined;
    };
    await assert.rejects(bench.volumes.publish(writable), isKind("in-progress", /unpublished/));
    assert.equal(bench.artifacts.asked.length, 1);
    assertNothingLeft(bench);
  });

  test("one that comes while the volume is being mounted waits, then takes it away", async () => {
    await using bench = await useVolumes();
    const mounting = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    bench.mounter.onCall = async (call) => {
      if (call.kind !== "bind") return;
      mounting.resolve();
      await gate.promise;
    };
    const publishing = bench.volumes.publish(bench.request());
    await mounting.promise;
    const unpublishing = bench.volumes.unpublish(bench.request());
    gate.resolve();
    await publishing;
    await unpublishing;
    assertNothingLeft(bench);
  });
});
