import assert from "node:assert/strict";
import {
  existsSync,
  promises as fs,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { assertNothingLeft, publishWritten, useVolumes } from "../../test/helpers/volume-bench.ts";
import { DriverError, type ErrorKind } from "../base/index.ts";

function withCode(code: string): Error {
  return Object.assign(new Error(code), { code });
}

/** Whether kubelet takes a code of this kind as final, so that no unpublish follows (facts.md 1). */
const isFinal = {
  "bad-input": true,
  "not-found": true,
  unauthenticated: true,
  forbidden: true,
  unavailable: false,
  "in-progress": false,
  "no-space": false,
  corrupt: true,
  refused: true,
  conflict: true,
  cancelled: false,
  internal: true,
} as const satisfies Record<ErrorKind, boolean>;

describe("an artifact that fails", () => {
  for (const [kind, final] of Object.entries(isFinal) as [ErrorKind, boolean][]) {
    test(`${kind}: ${final ? "the volume wants nothing any more" : "the volume goes on wanting it"}`, async () => {
      await using bench = await useVolumes();
      const failure = new DriverError(kind, "why");
      bench.artifacts.onPresent = () => Promise.reject(failure);
      await assert.rejects(bench.volumes.publish(bench.request()), failure);
      assert.equal(bench.artifacts.left.length, final ? 1 : 0);
      assertNothingLeft(bench);
    });
  }

  test("what is no error of the driver's is final", async () => {
    await using bench = await useVolumes();
    bench.artifacts.onPresent = () => Promise.reject(new TypeError("bug"));
    await assert.rejects(bench.volumes.publish(bench.request()), TypeError);
    assert.equal(bench.artifacts.left.length, 1);
  });

  for (const code of ["ENOSPC", "EDQUOT"]) {
    test(`${code} is a full disk`, async () => {
      await using bench = await useVolumes();
      bench.artifacts.onPresent = () => Promise.reject(withCode(code));
      await assert.rejects(bench.volumes.publish(bench.request()), { kind: "no-space", message: /disk is full/ });
      assert.deepEqual(bench.artifacts.left, []);
    });
  }
});

test("a request that is wrong gives up what the volume wanted before", async () => {
  await using bench = await useVolumes();
  bench.artifacts.onPresent = () => Promise.reject(new DriverError("in-progress", "pulling"));
  await assert.rejects(bench.volumes.publish(bench.request()), { kind: "in-progress" });
  await assert.rejects(bench.volumes.publish(bench.request({ mountFlags: ["nonsense"] })), { kind: "bad-input" });
  assert.deepEqual(
    bench.artifacts.left,
    bench.artifacts.asked.map(({ volume }) => volume),
  );
});

for (const readOnly of [true, false]) {
  test(`a cached tree whose name cannot be noted is not shown, ${readOnly ? "read-only" : "writable"}`, async () => {
    await using bench = await useVolumes();
    const { artifacts, tree, area, mounter } = bench;
    const { leases } = area.cache;
    artifacts.onCached = async () => ({ tree, lease: await leases.hold(tree.id) });
    const failure = new DriverError("unavailable", "the data dir is read-only");
    artifacts.onTook = () => Promise.reject(failure);
    await assert.rejects(bench.volumes.publish(bench.request({ readOnly })), failure);
    assertNothingLeft(bench);
    assert.deepEqual([mounter.calls, leases.count(tree.id)], [[], 0]);
  });
}

test("a publish of what the cache has leaves no begun record where it is refused, and needs none", async () => {
  await using bench = await useVolumes();
  const { artifacts, target, tree, area } = bench;
  const { layout, leases } = area.cache;
  artifacts.onCached = async () => ({ tree, lease: await leases.hold(tree.id) });
  writeFileSync(target, "in the way");
  await assert.rejects(bench.volumes.publish(bench.request()), { kind: "refused" });
  assert.deepEqual(readdirSync(layout.tmp), []);
  assert.equal(leases.count(tree.id), 0);
  rmSync(target);
  rmSync(layout.tmp, { recursive: true });
  assert.equal(await bench.volumes.publish(bench.request()), "published");
  assert.equal(await bench.volumes.publish(bench.request()), "unchanged");
  assert.deepEqual(readdirSync(layout.tmp), []);
});

describe("a disk that fails below a published volume", () => {
  const says = /^cannot \w+ the volume at .*\/mount: the node's disk fails \(EIO\), its kernel log tells more$/;

  test("a republish that cannot look at the tree is told why, and the volume stays", async (t) => {
    await using bench = await useVolumes();
    const request = bench.request({ targetPath: join(bench.area.folder, "mount") });
    await bench.volumes.publish(request);
    const { stat } = fs;
    const isTree = (path: unknown) => path === bench.tree.folder;
    t.mock.method(fs, "stat", (path: string, options: undefined) =>
      isTree(path) ? Promise.reject(withCode("EIO")) : stat(path, options),
    );
    await assert.rejects(bench.volumes.publish(request), { kind: "unavailable", message: says });
    t.mock.restoreAll();
    assert.deepEqual(bench.artifacts.left, []);
    assert.equal(await bench.volumes.publish(request), "unchanged");
  });

  test("all calls that cannot look at what is mounted are told why", async (t) => {
    await using bench = await useVolumes();
    const [first, second] = ["first", "second"].map((name) => join(bench.area.folder, name));
    assert.ok(first !== undefined && second !== undefined);
    mkdirSync(first);
    await bench.volumes.publish(bench.request({ targetPath: join(first, "mount") }));
    // The same folder has another name now: the two targets are compared.
    renameSync(first, second);
    symlinkSync(second, first);
    const request = bench.request({ targetPath: join(second, "mount") });
    const asked = { ...request, volumePath: request.targetPath };
    t.mock.method(bench.mounter, "mountAt", () => Promise.reject(withCode("EIO")));
    const calls = {
      publish: () => bench.volumes.publish(request),
      unpublish: () => bench.volumes.unpublish(request),
      stats: () => bench.volumes.stats(asked),
      health: () => bench.volumes.health(asked),
    };
    for (const [name, call] of Object.entries(calls))
      await assert.rejects(call(), { kind: "unavailable", message: says }, name);
    assert.deepEqual(bench.artifacts.left, []);
  });
});

describe("a mount that fails", () => {
  const rows: readonly { readonly kind: ErrorKind; readonly left: number }[] = [
    { kind: "refused", left: 1 },
    { kind: "internal", left: 1 },
    { kind: "no-space", left: 0 },
    { kind: "unavailable", left: 0 },
  ];
  for (const { kind, left } of rows) {
    for (const readOnly of [true, false]) {
      test(`${kind}, ${readOnly ? "read-only" : "writable"}: nothing is left, the next call works`, async () => {
        await using bench = await useVolumes();
        const failure = new DriverError(kind, "why");
        bench.mounter.onCall = () => Promise.reject(failure);
        await assert.rejects(bench.volumes.publish(bench.request({ readOnly })), failure);
        assert.equal(bench.artifacts.left.length, left);
        assertNothingLeft(bench);
        bench.mounter.onCall = () => undefined;
        await bench.volumes.publish(bench.request({ readOnly }));
        assert.equal(bench.mounter.depth(bench.target), 1);
      });
    }
  }

  test("a volume that was published before keeps its record, its writes and its target", async () => {
    await using bench = await useVolumes();
    const request = () => bench.request({ readOnly: false });
    const upper = await publishWritten(bench);
    await bench.mounter.unmount(bench.target, "plain");
    bench.mounter.onCall = () => Promise.reject(new DriverError("refused", "why"));
    await assert.rejects(bench.volumes.publish(request()), { kind: "refused" });
    assert.ok(existsSync(join(upper, "mine")));
    assert.ok(existsSync(bench.target));
    bench.mounter.onCall = () => undefined;
    await bench.restart();
    await bench.volumes.unpublish(request());
    assertNothingLeft(bench);
  });

  test("what cannot be undone is logged, and the failure itself is told", async () => {
    await using bench = await useVolumes();
    bench.mounter.onCall = () => {
      writeFileSync(join(bench.target, "in the way"), "x");
      throw new DriverError("refused", "the real reason");
    };
    await assert.rejects(bench.volumes.publish(bench.request()), { kind: "refused", message: "the real reason" });
    assert.deepEqual(readdirSync(bench.area.cache.layout.volumes), []);
    assert.ok(bench.area.lines.some((line) => line.includes("cannot undo a failed publish")));
  });

  test("the caller of a call that waits for another one may go away", async () => {
    await using bench = await useVolumes();
    const mounting = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    bench.mounter.onCall = async () => {
      mounting.resolve();
      await gate.promise;
    };
    const first = bench.volumes.publish(bench.request());
    await mounting.promise;
    const caller = new AbortController();
    const second = bench.volumes.publish(bench.request({ signal: caller.signal }));
    const rejected = assert.rejects(second, { kind: "cancelled" });
    caller.abort();
    await rejected;
    gate.resolve();
    await first;
    assert.deepEqual(bench.artifacts.left, []);
    assert.equal(bench.mounter.depth(bench.target), 1);
  });
});
