import assert from "node:assert/strict";
import { closeSync, existsSync, mkdirSync, openSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { FakeMounter } from "../../test/fakes/fake-mounter.ts";
import { skipMounts, useMountArea } from "../../test/helpers/mount-area.ts";
import { mounterImplementations } from "../../test/helpers/mounter-implementations.ts";
import { ManualClock } from "../../test/registry-client/manual-clock.ts";
import { DriverError } from "../base/index.ts";
import { defaultMountFlags, type MountAt } from "../mount/index.ts";
import { takeAwayBind, unmountTarget } from "./unmount.ts";

const TARGET = "/target";
const busy = new DriverError("unavailable", "in use", Object.assign(new Error("busy"), { code: "EBUSY" }));
/** In use for good: it can be detached only. */
const staysBusy: FakeMounter["onCall"] = (call) => {
  if (call.kind === "unmount" && call.how === "plain") throw busy;
};

test("nothing mounted is no work", async () => {
  const mounter = new FakeMounter();
  await unmountTarget(mounter, TARGET, new ManualClock());
  assert.deepEqual(mounter.calls, []);
});

test("stacked mounts all go", async () => {
  const mounter = new FakeMounter();
  for (let i = 0; i < 5; i++) mounter.mountForeign(TARGET, { dead: i % 2 === 0 });
  await unmountTarget(mounter, TARGET, new ManualClock());
  assert.equal(mounter.depth(TARGET), 0);
});

test("a busy mount is tried for two seconds, then detached", async () => {
  const mounter = new FakeMounter();
  const clock = new ManualClock({ passBelowMs: 1000 });
  mounter.mountForeign(TARGET);
  mounter.onCall = staysBusy;
  const startMs = clock.monotonicMs();
  await unmountTarget(mounter, TARGET, clock);
  assert.equal(clock.monotonicMs() - startMs, 2000);
  assert.equal(mounter.depth(TARGET), 0);
  assert.equal(mounter.calls.filter((call) => call.kind === "unmount" && call.how === "detach").length, 1);
});

test("busy mounts that are stacked are given two seconds together", async () => {
  const mounter = new FakeMounter();
  const clock = new ManualClock({ passBelowMs: 1000 });
  for (let i = 0; i < 5; i++) mounter.mountForeign(TARGET);
  mounter.onCall = staysBusy;
  const startMs = clock.monotonicMs();
  await unmountTarget(mounter, TARGET, clock);
  assert.equal(clock.monotonicMs() - startMs, 2000);
  assert.equal(mounter.depth(TARGET), 0);
});

test("a mount that is busy for a moment is not detached", async () => {
  const mounter = new FakeMounter();
  mounter.mountForeign(TARGET);
  let tries = 0;
  mounter.onCall = () => {
    if (++tries < 4) throw busy;
  };
  await unmountTarget(mounter, TARGET, new ManualClock({ passBelowMs: 1000 }));
  assert.deepEqual(
    mounter.calls.map((call) => call.kind === "unmount" && call.how),
    ["plain", "plain", "plain", "plain"],
  );
});

test("other failures are told as they are", async () => {
  const mounter = new FakeMounter();
  mounter.mountForeign(TARGET);
  const failure = new DriverError("refused", "not permitted");
  mounter.onCall = () => {
    throw failure;
  };
  await assert.rejects(unmountTarget(mounter, TARGET, new ManualClock()), failure);
});

test("somebody who mounts again and again is not fought for ever", async () => {
  const mounter = new FakeMounter();
  mounter.mountForeign(TARGET);
  mounter.onCall = () => mounter.mountForeign(TARGET);
  await assert.rejects(unmountTarget(mounter, TARGET, new ManualClock()), /mounts there again and again/);
});

for (const { name, create } of mounterImplementations) {
  describe(name, { skip: skipMounts }, () => {
    test("a real mount in use is detached, with what is below it", async () => {
      await using area = await useMountArea();
      const mounter = create(area);
      const source = area.folder("source");
      const target = area.folder("target");
      area.folder("source/below");
      writeFileSync(join(source, "file"), "x");
      const bind = (to: string) => mounter.bind({ source, target: to, readOnly: true, flags: defaultMountFlags });
      await bind(target);
      await bind(target);
      await bind(join(target, "below"));
      const open = openSync(join(target, "below/file"), "r");
      await unmountTarget(mounter, target, new ManualClock({ passBelowMs: 1000 }));
      assert.equal(await mounter.mountAt(target), undefined);
      assert.deepEqual(await mounter.mountsBelow(target), []);
      closeSync(open);
    });

    test("one mount goes with its folder at once; where there is more, the careful way is left to do it", async () => {
      await using area = await useMountArea();
      const mounter = create(area);
      const source = area.folder("source");
      const bind = (to: string) => mounter.bind({ source, target: to, readOnly: true, flags: defaultMountFlags });
      const isOurs = async ({ inode }: MountAt) => inode === statSync(source, { bigint: true }).ino;
      const target = area.folder("target");
      await bind(target);
      assert.equal(await takeAwayBind(mounter, target, isOurs), true);
      assert.ok(!existsSync(target));
      mkdirSync(target);
      await bind(target);
      await bind(target);
      assert.equal(await takeAwayBind(mounter, target, isOurs), false, "stacked");
      assert.ok(await mounter.mountAt(target));
      await mounter.unmount(target, "plain");
      // Seen by nobody while the volume lies over it.
      await bind(area.folder("target/hidden"));
      await bind(target);
      assert.equal(await takeAwayBind(mounter, target, isOurs), false, "a mount below");
      assert.equal((await mounter.mountsBelow(target)).length, 1);
    });

    test("a dead mount goes", async () => {
      await using area = await useMountArea();
      const mounter = create(area);
      const target = area.folder("target");
      await area.mountDead(target);
      await unmountTarget(mounter, target, new ManualClock());
      assert.equal(await mounter.mountAt(target), undefined);
    });
  });
}
