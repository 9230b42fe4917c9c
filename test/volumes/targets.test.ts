import assert from "node:assert/strict";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { systemClock } from "../../src/base/index.ts";
import { defaultMountFlags } from "../../src/mount/index.ts";
import { isKind } from "../helpers/is-kind.ts";
import { skipMounts } from "../helpers/mount-area.ts";
import { HUNG_LIMIT_MS, type MountedVolumes, useMountedVolumes, VOLUME_ID } from "../helpers/mounted-volumes.ts";
import { mounterImplementations } from "../helpers/mounter-implementations.ts";

type Use = (options?: Parameters<typeof useMountedVolumes>[1]) => Promise<MountedVolumes>;

const MS_RDONLY = 1;
const MS_REMOUNT = 1 << 5;
const MS_BIND = 1 << 12;
const MS_PRIVATE = 1 << 18;
const MNT_DETACH = 2;

/** Both kinds of volumes: what holds for a target holds for each. */
const kinds = [
  { kind: "read-only", readOnly: true },
  { kind: "writable", readOnly: false },
];

for (const { name, create } of mounterImplementations) {
  describe(name, { skip: skipMounts }, () => {
    const use: Use = (options) => useMountedVolumes(create, options);
    for (const { kind, readOnly } of kinds) {
      describe(`${kind} volumes`, () => {
        aliases(use, readOnly);
        others(use, readOnly);
        lost(use, readOnly);
      });
    }
    hung(use);
    refused(use);
  });
}

/** One folder that is reached by several paths. */
function aliases(use: Use, readOnly: boolean): void {
  test("a kubelet folder that is reached through a link is the folder that it leads to", async () => {
    await using bench = await use();
    const { area, kubeletFolder, target } = bench;
    const link = join(area.path, "kubelet-link");
    symlinkSync("kubelet", link);
    const alias = link + target.slice(kubeletFolder.length);
    await publishTwiceUnpublishOnce(bench, [target, alias], readOnly);
    await publishTwiceUnpublishOnce(bench, [alias, target], readOnly);
  });

  test("a kubelet folder that is visible at two paths is one folder", async () => {
    await using bench = await use();
    const { target } = bench;
    await publishTwiceUnpublishOnce(bench, [target, bench.onHost(target)], readOnly);
    await publishTwiceUnpublishOnce(bench, [bench.onHost(target), target], readOnly);
  });

  test("nothing stays by the path that is asked for, though that has ceased to follow the volume's own", async () => {
    await using bench = await use();
    const { area, target } = bench;
    await bench.volumes.publish(bench.request({ readOnly }));
    await area.libc.mount({ target: area.peer, flags: MS_PRIVATE });
    await bench.volumes.unpublish({ volumeId: VOLUME_ID, targetPath: bench.onHost(target) });
    await assertNothingLeft(bench);
  });

  test("a path with needless parts is the path without them", async () => {
    await using bench = await use();
    const { target } = bench;
    await publishTwiceUnpublishOnce(bench, [target, target.replace("/pods/", "//pods/./uid-1/../")], readOnly);
  });
}

/** Publishes by one path, again by the other one, and takes it away by that: nothing may be there twice, or stay. */
async function publishTwiceUnpublishOnce(
  bench: MountedVolumes,
  [first, second]: readonly [string, string],
  readOnly: boolean,
): Promise<void> {
  await bench.volumes.publish(bench.request({ targetPath: first, readOnly }));
  if (!readOnly) writeFileSync(join(first, "mine"), "m");
  const before = { records: bench.records(), mounts: await mountPoints(bench) };
  const asked = bench.artifacts.asked.length;
  await bench.volumes.publish(bench.request({ targetPath: second, readOnly }));
  assert.equal(bench.artifacts.asked.length, asked, "what is published is published");
  assert.deepEqual({ records: bench.records(), mounts: await mountPoints(bench) }, before);
  const other = { targetPath: second, readOnly, volumeContext: { "oras.artifact.reference": "a.io/b" } };
  await assert.rejects(bench.volumes.publish(bench.request(other)), isKind("conflict"));
  await bench.volumes.stats({ volumeId: VOLUME_ID, volumePath: second });
  assert.deepEqual(await bench.volumes.health({ volumeId: VOLUME_ID, volumePath: second }), []);
  await bench.restart();
  await bench.volumes.unpublish({ volumeId: VOLUME_ID, targetPath: second });
  await assertNothingLeft(bench);
}

/** Targets that are used or mounted over by others. */
function others(use: Use, readOnly: boolean): void {
  test("the host sees the volume with its flags", async () => {
    await using bench = await use();
    await bench.volumes.publish(bench.request({ readOnly }));
    const seen = await bench.mounter.mountHolding(bench.onHost(bench.target));
    assert.deepEqual(seen?.options.slice(0, 3), [readOnly ? "ro" : "rw", "nosuid", "nodev"]);
    assert.equal(readFileSync(join(bench.onHost(bench.target), "file"), "utf8"), "content");
    await bench.volumes.unpublish(bench.request());
    await assertNothingLeft(bench);
  });

  test("a busy volume is taken away all the same, and its user keeps the file", async () => {
    await using bench = await use();
    await bench.volumes.publish(bench.request({ readOnly }));
    const file = openSync(join(bench.target, "file"), "r");
    await bench.volumes.unpublish(bench.request());
    await assertNothingLeft(bench);
    assert.equal(readFileSync(file, "utf8"), "content");
    closeSync(file);
  });

  test("what is mounted over and below a volume goes with it", async () => {
    await using bench = await use();
    const { target } = bench;
    await bench.volumes.publish(bench.request({ readOnly: false }));
    mkdirSync(join(target, "below"));
    await mountTmpfs(bench, join(target, "below"));
    mkdirSync(join(target, "below/deeper"));
    await mountTmpfs(bench, join(target, "below/deeper"));
    await mountTmpfs(bench, target);
    mkdirSync(join(target, "above"));
    await mountTmpfs(bench, join(target, "above"));
    await bench.volumes.unpublish(bench.request());
    await assertNothingLeft(bench);
  });

  test("somebody's mount over a volume is left alone by a publish", async () => {
    await using bench = await use();
    await bench.volumes.publish(bench.request({ readOnly }));
    await mountTmpfs(bench, bench.target);
    await assert.rejects(bench.volumes.publish(bench.request({ readOnly })), isKind("refused"));
    assert.equal((await bench.mounter.mountHolding(bench.target))?.fsType, "tmpfs");
    assert.equal(bench.records().filter((record) => record.endsWith(".json")).length, 1);
    const [entry] = await bench.volumes.health({ volumeId: VOLUME_ID, volumePath: bench.target });
    assert.equal(entry?.status, "inaccessible");
    await bench.area.libc.unmount(bench.target, 0);
    await bench.volumes.publish(bench.request({ readOnly }));
    await bench.volumes.unpublish(bench.request());
    await assertNothingLeft(bench);
  });

  test("dead mounts over a volume are taken away by a publish", async () => {
    await using bench = await use();
    await bench.volumes.publish(bench.request({ readOnly }));
    for (let i = 0; i < 2; i++) await bench.area.mountDead(bench.target);
    await bench.area.mountStale(bench.target);
    await bench.volumes.publish(bench.request({ readOnly }));
    assert.equal(bench.artifacts.asked.length, 1, "the volume was below them");
    assert.equal(readFileSync(join(bench.target, "file"), "utf8"), "content");
    await bench.area.mountStale(bench.target);
    await bench.area.mountDead(bench.target);
    await bench.volumes.unpublish(bench.request());
    await assertNothingLeft(bench);
  });

  for (const how of ["mountDead", "mountStale"] as const) {
    test(`a dead mount where a volume is to go is replaced (${how})`, async () => {
      await using bench = await use();
      mkdirSync(bench.target);
      await bench.area[how](bench.target);
      await bench.volumes.publish(bench.request({ readOnly }));
      assert.equal(readFileSync(join(bench.target, "file"), "utf8"), "content");
      await bench.volumes.unpublish(bench.request());
      await assertNothingLeft(bench);
    });
  }

  test("one id at several targets is several volumes", async () => {
    await using bench = await use();
    const targets = [bench.target, join(bench.area.path, "second"), join(bench.area.path, "third")];
    for (const targetPath of targets) await bench.volumes.publish(bench.request({ targetPath, readOnly }));
    if (!readOnly) {
      for (const target of targets) writeFileSync(join(target, "mine"), target);
      for (const target of targets) assert.equal(readFileSync(join(target, "mine"), "utf8"), target);
    }
    const [first = "", ...rest] = targets;
    await bench.volumes.unpublish({ volumeId: VOLUME_ID, targetPath: first });
    for (const target of rest) assert.equal(readFileSync(join(target, "file"), "utf8"), "content");
    for (const targetPath of rest) await bench.volumes.unpublish({ volumeId: VOLUME_ID, targetPath });
    await assertNothingLeft(bench);
  });

  test("another volume at the target: refused while it is mounted, forgotten when it is not", async () => {
    await using bench = await use();
    await bench.volumes.publish(bench.request({ readOnly, volumeId: "other" }));
    await assert.rejects(bench.volumes.publish(bench.request({ readOnly })), isKind("conflict"));
    await bench.area.libc.unmount(bench.target, MNT_DETACH);
    await bench.volumes.publish(bench.request({ readOnly }));
    assert.equal(bench.records().filter((record) => record.endsWith(".json")).length, 1);
    await bench.volumes.unpublish(bench.request());
    await assertNothingLeft(bench);
  });

  test("ids are opaque bytes", async () => {
    await using bench = await use();
    const odd = Array.from({ length: 128 }, (_, i) => String.fromCharCode(1 + ((i * 7) % 126))).join("");
    const ids = ["../../etc", "a/b", "..", "[a]", "A", "a", odd, `${odd.slice(0, -1)}?`, "ü\n\"'`$(id)"];
    const volumes = ids.map((volumeId, i) => ({ volumeId, targetPath: join(bench.area.path, `odd-${i}`) }));
    for (const volume of volumes) await bench.volumes.publish(bench.request({ ...volume, readOnly }));
    await bench.restart();
    for (const volume of volumes) await bench.volumes.publish(bench.request({ ...volume, readOnly }));
    assert.equal(bench.artifacts.asked.length, ids.length);
    for (const volume of volumes) await bench.volumes.unpublish(volume);
    await assertNothingLeft(bench);
  });
}

/** Records without mounts. */
function lost(use: Use, readOnly: boolean): void {
  test("a volume that somebody unmounted is mounted again, or taken away", async () => {
    await using bench = await use();
    await bench.volumes.publish(bench.request({ readOnly }));
    if (!readOnly) writeFileSync(join(bench.target, "mine"), "m");
    const before = bench.records();
    await bench.area.libc.unmount(bench.target, MNT_DETACH);
    const [entry] = await bench.volumes.health({ volumeId: VOLUME_ID, volumePath: undefined });
    assert.equal(entry?.status, "inaccessible");
    await bench.volumes.publish(bench.request({ readOnly }));
    assert.equal(existsSync(join(bench.target, "mine")), !readOnly);
    assert.deepEqual(bench.records(), before);
    await bench.area.libc.unmount(bench.target, MNT_DETACH);
    await bench.volumes.unpublish(bench.request());
    await assertNothingLeft(bench);
  });

  test("a target that was deleted under its mount, or is gone with its folder, is unpublished", async () => {
    await using bench = await use();
    await bench.volumes.publish(bench.request({ readOnly }));
    await bench.area.libc.unmount(bench.target, MNT_DETACH);
    rmSync(join(bench.kubeletFolder, "pods/uid-1"), { recursive: true });
    await bench.volumes.unpublish(bench.request());
    await assertNothingLeft(bench);
  });
}

/** Mounts that never answer. */
function hung(use: Use): void {
  test("a hung mount where a volume is to go is unavailable; the volume can be unpublished, then published", async () => {
    await using bench = await use({ lookLimitMs: HUNG_LIMIT_MS });
    mkdirSync(bench.target);
    await bench.area.mountHung(bench.target);
    await assert.rejects(bench.volumes.publish(bench.request()), isKind("unavailable", /hangs/));
    assert.deepEqual(bench.records(), []);
    await bench.volumes.unpublish(bench.request());
    await assertNothingLeft(bench);
    await bench.volumes.publish(bench.request());
  });

  test("a caller with little patience is told in time", async () => {
    await using bench = await use({ clock: systemClock, lookLimitMs: 60_000 });
    mkdirSync(bench.target);
    await bench.area.mountHung(bench.target);
    const patience = { deadlineMs: systemClock.monotonicMs() + 100, timeoutMs: 100 };
    await assert.rejects(bench.volumes.publish(bench.request(patience)), isKind("unavailable", /hangs/));
  });

  test("a volume that a hung mount covers is neither healthy nor published, but can be unpublished", async () => {
    await using bench = await use({ lookLimitMs: HUNG_LIMIT_MS });
    await bench.volumes.publish(bench.request());
    await bench.area.mountHung(bench.target);
    await assert.rejects(bench.volumes.publish(bench.request()), isKind("unavailable", /hangs/));
    const [entry] = await bench.volumes.health({ volumeId: VOLUME_ID, volumePath: undefined });
    assert.equal(entry?.status, "inaccessible");
    await bench.volumes.stats({ volumeId: VOLUME_ID, volumePath: bench.target });
    await bench.volumes.unpublish(bench.request());
    await assertNothingLeft(bench);
  });

  test("however many mounts hang, other volumes are served", async () => {
    await using bench = await use({ lookLimitMs: HUNG_LIMIT_MS });
    const targets = Array.from({ length: 8 }, (_, i) => bench.area.folder(`hung-${i}`));
    for (const target of targets) await bench.area.mountHung(target);
    const hanging = targets.map((targetPath) =>
      assert.rejects(bench.volumes.publish(bench.request({ targetPath })), isKind("unavailable", /hangs/)),
    );
    for (const readOnly of [true, false]) {
      await bench.volumes.publish(bench.request({ readOnly }));
      await bench.volumes.unpublish(bench.request());
    }
    await Promise.all(hanging);
    for (const targetPath of targets) await bench.area.libc.unmount(targetPath, MNT_DETACH);
    await assertNothingLeft(bench);
  });
}

/** Targets that no volume gets. */
function refused(use: Use): void {
  const rows: readonly { name: string; make: (bench: MountedVolumes) => void | Promise<void>; says: RegExp }[] = [
    { name: "a file", make: ({ target }) => writeFileSync(target, "x"), says: /is a file/ },
    { name: "a full folder", make: ({ target }) => mkdirSync(join(target, "x"), { recursive: true }), says: /in it/ },
    { name: "a symlink to a folder", make: ({ target, area }) => symlinkSync(area.path, target), says: /symlink/ },
    { name: "a dangling symlink", make: ({ target }) => symlinkSync("nowhere", target), says: /symlink/ },
    { name: "a missing parent", make: ({ target }) => rmSync(dirname(target), { recursive: true }), says: /missing/ },
    {
      name: "a file in the parent's place",
      make({ target }) {
        rmSync(dirname(target), { recursive: true });
        writeFileSync(dirname(target), "");
      },
      says: /missing/,
    },
    {
      name: "somebody's mount",
      async make(bench) {
        mkdirSync(bench.target);
        await mountTmpfs(bench, bench.target);
      },
      says: /left alone/,
    },
    {
      name: "somebody's mount of a folder of this data dir that is no tree",
      async make(bench) {
        mkdirSync(bench.target);
        const source = bench.cache.cache.layout.volumes;
        await bench.mounter.bind({ source, target: bench.target, readOnly: true, flags: defaultMountFlags });
      },
      says: /left alone/,
    },
    {
      name: "no propagation",
      async make(bench) {
        await bench.area.libc.mount({ source: bench.kubeletFolder, target: bench.kubeletFolder, flags: MS_BIND });
        await bench.area.libc.mount({ target: bench.kubeletFolder, flags: MS_PRIVATE });
      },
      says: /mountPropagation: Bidirectional/,
    },
  ];
  for (const { name, make, says } of rows) {
    test(`a publish is refused before anything is pulled: ${name}`, async () => {
      await using bench = await use();
      await make(bench);
      const before = { mounts: await mountPoints(bench), names: namesAbove(bench.target) };
      await assert.rejects(bench.volumes.publish(bench.request()), isKind("refused", says));
      assert.deepEqual({ mounts: await mountPoints(bench), names: namesAbove(bench.target) }, before);
      assert.deepEqual(bench.records(), []);
      assert.deepEqual(bench.artifacts.asked, []);
    });
  }

  test("a kubelet folder that is read-only to the driver: what to change is said, and nothing is left", async () => {
    await using bench = await use();
    const { libc } = bench.area;
    const setReadOnly = async (flag: number) =>
      libc.mount({ target: bench.kubeletFolder, flags: MS_REMOUNT | MS_BIND | flag });
    await libc.mount({ source: bench.kubeletFolder, target: bench.kubeletFolder, flags: MS_BIND });
    await setReadOnly(MS_RDONLY);
    const says =
      /cannot make the target .* read-only: is kubelet's pods folder mounted into the driver without readOnly/;
    await assert.rejects(bench.volumes.publish(bench.request()), isKind("refused", says));
    assert.deepEqual(bench.records(), []);
    await setReadOnly(0);
    await bench.volumes.publish(bench.request());
    await setReadOnly(MS_RDONLY);
    const stays = isKind("unavailable", /is on a read-only file system: it is left alone/);
    await assert.rejects(bench.volumes.unpublish(bench.request()), stays);
    await setReadOnly(0);
    await bench.volumes.unpublish(bench.request());
    await bench.area.libc.unmount(bench.kubeletFolder, MNT_DETACH);
    await assertNothingLeft(bench);
  });

  test("propagation that is taken away later is missed at the next mount", async () => {
    await using bench = await use();
    const { libc } = bench.area;
    await libc.mount({ source: bench.kubeletFolder, target: bench.kubeletFolder, flags: MS_BIND });
    await bench.volumes.publish(bench.request());
    await libc.mount({ target: bench.kubeletFolder, flags: MS_PRIVATE });
    await bench.volumes.publish(bench.request());
    const targetPath = bench.target.replace("artifact", "second");
    mkdirSync(dirname(targetPath));
    await assert.rejects(bench.volumes.publish(bench.request({ targetPath })), isKind("refused", /Bidirectional/));
  });
}

function mountTmpfs(bench: MountedVolumes, target: string): Promise<void> {
  return bench.area.libc.mount({ source: "somebody", target, fsType: "tmpfs", flags: 0 });
}

async function mountPoints(bench: MountedVolumes): Promise<readonly string[]> {
  const entries = await bench.mounter.mountsBelow(bench.area.path);
  return entries.map(({ mountPoint }) => mountPoint).filter((path) => !path.endsWith("/staging"));
}

function namesAbove(target: string): readonly string[] {
  const folder = dirname(dirname(target));
  return [folder, dirname(target)].flatMap((path) =>
    statSync(path, { throwIfNoEntry: false })?.isDirectory() ? readdirSync(path) : [],
  );
}

/** No mount, record, upper layer or target, here or on the host. */
async function assertNothingLeft(bench: MountedVolumes): Promise<void> {
  assert.deepEqual(await mountPoints(bench), []);
  assert.deepEqual(bench.records(), []);
  assert.equal(existsSync(bench.target), false, "the target is left");
  assert.equal(existsSync(bench.onHost(bench.target)), false);
}
