import assert from "node:assert/strict";
import { closeSync, existsSync, openSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { type MountArea, type MountAreaOptions, skipMounts, useMountArea } from "../../test/helpers/mount-area.ts";
import { mounterImplementations } from "../../test/helpers/mounter-implementations.ts";
import { DriverError, errnoOf } from "../base/index.ts";
import { defaultMountFlags, type MountFlags } from "./mount-flags.ts";
import type { Mounter } from "./mounter.ts";

const MS_BIND = 1 << 12;
const MS_NOEXEC = 8;

for (const { name, create } of mounterImplementations) {
  describe(name, { skip: skipMounts }, () => contract(create));
}

/** What every mounter must do, on real mounts. */
function contract(create: (area: MountArea) => Mounter): void {
  const use = async (options?: MountAreaOptions) => {
    const area = await useMountArea(options);
    const source = area.folder("source");
    writeFileSync(join(source, "file"), "content");
    const mounter = create(area);
    const bind = (target: string, readOnly = true, flags: MountFlags = defaultMountFlags) =>
      mounter.bind({ source, target, readOnly, flags });
    return { area, mounter, source, target: area.folder("target"), bind };
  };

  test("a read-only bind shows the source and refuses writes", async () => {
    const { area, mounter, target, bind } = await use();
    await using _ = area;
    await bind(target);
    assert.equal(readFileSync(join(target, "file"), "utf8"), "content");
    assert.throws(() => writeFileSync(join(target, "new"), ""), { code: "EROFS" });
    const entry = await mounter.mountHolding(target);
    assert.deepEqual(entry?.options, ["ro", "nosuid", "nodev", "relatime"]);
    assert.equal(entry?.readOnly, true);
  });

  test("a bind is not seen before it may be, and never if it may not", async () => {
    const { area, mounter, source, target } = await use();
    await using _ = area;
    const gate = Promise.withResolvers<void>();
    const options = { source, target, readOnly: true, flags: defaultMountFlags };
    const binding = mounter.bind({ ...options, ready: gate.promise });
    assert.equal(await mounter.mountAt(target), undefined);
    gate.resolve();
    await binding;
    assert.ok(await mounter.mountAt(target));
    await mounter.unmount(target, "plain");
    const never = Promise.reject(new Error("no"));
    await Promise.all([assert.rejects(never), assert.rejects(mounter.bind({ ...options, ready: never }))]);
    assert.equal(await mounter.mountAt(target), undefined);
  });

  test("a writable bind is nosuid and nodev, too", async () => {
    const { area, mounter, source, target, bind } = await use();
    await using _ = area;
    await bind(target, false);
    writeFileSync(join(target, "new"), "");
    assert.ok(existsSync(join(source, "new")));
    assert.deepEqual((await mounter.mountHolding(target))?.options, ["rw", "nosuid", "nodev", "relatime"]);
  });

  test("flags that are asked for are set", async () => {
    const { area, mounter, target, bind } = await use();
    await using _ = area;
    await bind(target, true, { noexec: true, accessTimes: "noatime", nodiratime: true });
    const options = (await mounter.mountHolding(target))?.options;
    assert.deepEqual(options, ["ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime"]);
    await bind(target, true, { ...defaultMountFlags, accessTimes: "strictatime" });
    assert.deepEqual((await mounter.mountHolding(target))?.options, ["ro", "nosuid", "nodev"]);
  });

  test("a bind does not undo the flags of the mount that its source lies on", async () => {
    const { area, mounter, target } = await use();
    await using _ = area;
    const { libc } = area;
    const source = area.folder("restricted");
    await libc.mount({ source: "restricted", target: source, fsType: "tmpfs", flags: MS_NOEXEC | (1 << 10) });
    await mounter.bind({ source, target, readOnly: false, flags: defaultMountFlags });
    const options = (await mounter.mountHolding(target))?.options;
    assert.deepEqual(options, ["rw", "nosuid", "nodev", "noexec", "noatime"]);
  });

  test("the peers of a shared target see the mount with the same flags", async () => {
    const { area, mounter, target, bind } = await use({ propagation: "shared" });
    await using _ = area;
    await bind(target);
    const seen = await mounter.mountHolding(join(area.peer, "target"));
    assert.deepEqual(seen?.options, ["ro", "nosuid", "nodev", "relatime"]);
    assert.equal(seen?.mountPoint, join(area.peer, "target"));
    await mounter.unmount(target, "plain");
    assert.equal(await mounter.mountAt(join(area.peer, "target")), undefined);
  });

  test("what is mounted at a target's folder later does not appear in the source", async () => {
    const { area, mounter, source, target, bind } = await use({ propagation: "shared" });
    await using _ = area;
    area.folder("source/sub");
    await bind(target);
    const { libc } = area;
    await libc.mount({ source: "later", target: join(target, "sub"), fsType: "tmpfs", flags: 0 });
    assert.equal(await mounter.mountAt(join(source, "sub")), undefined);
    assert.ok(await mounter.mountAt(join(area.peer, "target/sub")));
  });

  test("mounts below the source are not shown", async () => {
    const { area, mounter, source, target, bind } = await use();
    await using _ = area;
    const { libc } = area;
    await libc.mount({ source: "below", target: area.folder("source/sub"), fsType: "tmpfs", flags: 0 });
    assert.ok(await mounter.mountAt(join(source, "sub")));
    await bind(target);
    assert.deepEqual(await mounter.mountsBelow(target), []);
  });

  const badTargets: { name: string; make: (path: string) => void; says: RegExp }[] = [
    { name: "missing", make: () => undefined, says: /no such folder/ },
    { name: "a file", make: (path) => writeFileSync(path, ""), says: /not a folder/ },
    { name: "a symlink to a folder", make: (path) => symlinkSync("source", path), says: /symbolic link/ },
    { name: "a dangling symlink", make: (path) => symlinkSync("nowhere", path), says: /symbolic link/ },
  ];
  for (const row of badTargets) {
    test(`a target that is ${row.name} is refused`, async () => {
      const { area, mounter, bind } = await use();
      await using _ = area;
      const target = join(area.path, "bad");
      row.make(target);
      const before = (await mounter.mountsBelow(area.path)).length;
      await assert.rejects(bind(target), isError("refused", row.says));
      const layers = { lower: area.folder("lower"), upper: area.folder("upper"), work: area.folder("work") };
      await assert.rejects(
        mounter.overlay({ ...layers, target, flags: defaultMountFlags }),
        isError("refused", row.says),
      );
      assert.equal((await mounter.mountsBelow(area.path)).filter(isNotStaging).length, before);
    });
  }

  test("links above the target are followed", async () => {
    const { area, mounter, target, bind } = await use();
    await using _ = area;
    symlinkSync(".", join(area.path, "alias"));
    await bind(join(area.path, "alias/target"));
    assert.equal((await mounter.mountAt(target))?.inode, statSync(target, { bigint: true }).ino);
    assert.deepEqual(await mounter.mountAt(target), await mounter.mountAt(join(area.path, "alias/target")));
    await mounter.unmount(join(area.path, "alias/target"), "plain");
    assert.equal(await mounter.mountAt(target), undefined);
  });

  test("names with odd characters", async () => {
    const { area, mounter } = await use();
    await using _ = area;
    for (const odd of ["comma,colon:", "space and\nnewline\ttab", "back\\slash", "ünïcode 漢字", "a#b=c"]) {
      const source = area.folder(`source ${odd}`);
      const target = area.folder(`target ${odd}`);
      await mounter.bind({ source, target, readOnly: true, flags: defaultMountFlags });
      assert.equal((await mounter.mountHolding(target))?.mountPoint, target);
      assert.deepEqual(
        (await mounter.mountsBelow(area.path)).filter(isNotStaging).map((entry) => entry.mountPoint),
        [target],
      );
      await mounter.unmount(target, "plain");
      assert.equal(await mounter.mountAt(target), undefined);
    }
  });

  test("a mount in use is not unmounted plainly, but detached", async () => {
    const { area, mounter, target, bind } = await use();
    await using _ = area;
    await bind(target);
    const fd = openSync(join(target, "file"), "r");
    await assert.rejects(mounter.unmount(target, "plain"), (error) => {
      assert.equal(errnoOf(error), "EBUSY");
      return isError("unavailable", /in use/)(error);
    });
    assert.ok(await mounter.mountAt(target));
    await mounter.unmount(target, "detach");
    assert.equal(await mounter.mountAt(target), undefined);
    assert.equal(readFileSync(fd, "utf8"), "content");
    closeSync(fd);
  });

  test("unmounting what is not mounted is OK", async () => {
    const { area, mounter, target } = await use();
    await using _ = area;
    symlinkSync("target", join(area.path, "link"));
    writeFileSync(join(area.path, "file"), "");
    for (const path of [target, join(area.path, "missing"), join(area.path, "link"), join(area.path, "file/x")]) {
      await mounter.unmount(path, "plain");
      await mounter.unmount(path, "detach");
    }
  });

  test("unmounting does not follow a link to a mount", async () => {
    const { area, mounter, target, bind } = await use();
    await using _ = area;
    await bind(target);
    symlinkSync("target", join(area.path, "link"));
    await mounter.unmount(join(area.path, "link"), "detach");
    assert.ok(await mounter.mountAt(target));
  });

  test("what is mounted at a path: nothing, a bind, a stack, a file", async () => {
    const { area, mounter, source, target, bind } = await use();
    await using _ = area;
    for (const path of [target, join(target, "missing/below"), join(source, "file"), join(source, "file/below")]) {
      assert.equal(await mounter.mountAt(path), undefined);
    }
    const expected = statSync(source, { bigint: true });
    await bind(target);
    const first = await mounter.mountAt(target);
    assert.deepEqual([first?.device, first?.inode], [expected.dev, expected.ino]);
    assert.equal(await mounter.isDead(target), false);
    assert.equal(await mounter.mountAt(join(target, "file")), undefined);
    await area.libc.mount({ source: "over", target, fsType: "tmpfs", flags: 0 });
    const second = await mounter.mountAt(target);
    assert.notEqual(second?.mountId, first?.mountId);
    assert.notEqual(second?.device, expected.dev);
    await mounter.unmount(target, "plain");
    assert.deepEqual(await mounter.mountAt(target), first);
    const file = join(area.path, "mounted-file");
    writeFileSync(file, "");
    await area.libc.mount({ source: join(source, "file"), target: file, flags: MS_BIND });
    assert.equal((await mounter.mountAt(file))?.inode, statSync(join(source, "file"), { bigint: true }).ino);
  });

  for (const [code, how] of [
    ["ENOTCONN", "mountDead"],
    ["ESTALE", "mountStale"],
  ] as const) {
    test(`a dead mount (${code}) is told, and can be unmounted`, async () => {
      const { area, mounter, target } = await use();
      await using _ = area;
      await area[how](target);
      await assert.rejects(stat(target), (error) => errnoOf(error) === code);
      assert.ok(await mounter.mountAt(target));
      assert.equal(await mounter.isDead(target), true);
      assert.equal((await mounter.mountHolding(target))?.fsType, "fuse");
      assert.deepEqual(await mounter.mountsBelow(target), []);
      await mounter.unmount(target, "plain");
      assert.equal(await mounter.mountAt(target), undefined);
    });
  }

  test("a hung mount is seen, and can be unmounted, without asking it", async () => {
    const { area, mounter, target, bind } = await use({ propagation: "shared" });
    await using _ = area;
    await bind(target);
    const ours = await mounter.mountAt(target);
    await area.mountHung(target);
    const hung = await mounter.mountAt(target);
    assert.notEqual(hung?.mountId, ours?.mountId);
    assert.notEqual(hung?.device, ours?.device);
    assert.equal((await mounter.mountHolding(target))?.fsType, "fuse");
    assert.deepEqual(await mounter.mountsBelow(target), []);
    await mounter.unmount(target, "plain");
    assert.deepEqual(await mounter.mountAt(target), ours);
    await area.mountHung(target);
    const asking = mounter.isDead(target);
    await mounter.unmount(target, "detach");
    assert.deepEqual(await mounter.mountAt(target), ours);
    assert.equal((await mounter.mountHolding(join(area.peer, "target")))?.fsType, "tmpfs");
    area.hangUp();
    await asking;
  });

  test("what is mounted below a path comes in the order to unmount it", async () => {
    const { area, mounter } = await use();
    await using _ = area;
    const outside = area.folder("top-not");
    const mount = (target: string) => area.libc.mount({ source: "nested", target, fsType: "tmpfs", flags: 0 });
    const [a, ab, c] = [area.folder("top/a"), join(area.path, "top/a/b"), area.folder("top/c")];
    for (const target of [outside, a]) await mount(target);
    area.folder("top/a/b");
    for (const target of [ab, ab, c, c]) await mount(target);
    const top = join(area.path, "top");
    const below = await mounter.mountsBelow(top);
    assert.equal(below.length, 5);
    for (const entry of below) await mounter.unmount(entry.mountPointBytes, "plain");
    assert.deepEqual(await mounter.mountsBelow(top), []);
    assert.ok(await mounter.mountAt(outside));
  });

  test("a source that is missing leaves nothing", async () => {
    const { area, mounter, target } = await use();
    await using _ = area;
    const options = { source: join(area.path, "gone"), target, readOnly: true, flags: defaultMountFlags };
    await assert.rejects(mounter.bind(options), isError("internal", /bind .*gone.* to .*target/));
    assert.equal(await mounter.mountAt(target), undefined);
  });

  test("many binds at once", async () => {
    const { area, mounter, bind } = await use();
    await using _ = area;
    const targets = Array.from({ length: 100 }, (_unused, i) => area.folder(`many/${i}`));
    await Promise.all(targets.map((target) => bind(target)));
    const found = await Promise.all(targets.map((target) => mounter.mountAt(target)));
    assert.equal(new Set(found.map((mount) => mount?.mountId)).size, 100);
    await Promise.all(targets.map((target) => mounter.unmount(target, "plain")));
    assert.deepEqual(await mounter.mountsBelow(join(area.path, "many")), []);
  });
}

function isNotStaging(entry: { mountPoint: string }): boolean {
  return !entry.mountPoint.endsWith("/staging");
}

function isError(kind: string, says: RegExp): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof DriverError, `no DriverError: ${String(error)}`);
    assert.equal(error.kind, kind);
    assert.match(error.message, says);
    return true;
  };
}
