import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { Cache } from "../../src/cache/index.ts";
import { Volumes } from "../../src/volume/index.ts";
import { isKind } from "../helpers/is-kind.ts";
import { skipMounts } from "../helpers/mount-area.ts";
import {
  HUNG_LIMIT_MS,
  type MountedVolumes,
  useMountedVolumes,
  VOLUME_ID,
  writeVolData,
} from "../helpers/mounted-volumes.ts";
import { mounterImplementations } from "../helpers/mounter-implementations.ts";
import { ManualClock } from "../registry-client/manual-clock.ts";

type Use = (options?: Parameters<typeof useMountedVolumes>[1]) => Promise<MountedVolumes>;

const MNT_DETACH = 2;
const MS_BIND = 1 << 12;
/** Attributes that have nothing in common with those that a volume was published with. */
const others = { volumeContext: { "oras.artifact.reference": "elsewhere.example/other/thing:v9" } };

for (const { name, create } of mounterImplementations) {
  describe(name, { skip: skipMounts }, () => {
    const use: Use = (options) => useMountedVolumes(create, options);
    for (const readOnly of [true, false]) {
      describe(`${readOnly ? "read-only" : "writable"} volumes whose record is lost`, () => ownMounts(use, readOnly));
    }
    describe("mounts that only kubelet's own file calls ours", () => foreignMounts(use));
  });
}

/** Mounts that this data dir's trees and upper layers are in. */
function ownMounts(use: () => Promise<MountedVolumes>, readOnly: boolean): void {
  test("any republish is OK, stats and health are told, an unpublish takes all of it away", async () => {
    await using bench = await use();
    await publishAndForget(bench, readOnly);
    const before = await mountPoints(bench);
    await bench.volumes.publish(bench.request({ ...others, readOnly: !readOnly }));
    await bench.restart();
    await bench.volumes.publish(bench.request({ readOnly }));
    assert.deepEqual(await mountPoints(bench), before);
    assert.equal(bench.artifacts.asked.length, 1, "nothing is pulled for what is there");
    assert.equal(existsSync(join(bench.target, "mine")), !readOnly);
    const { bytes } = await bench.volumes.stats({ volumeId: VOLUME_ID, volumePath: bench.target });
    assert.ok(bytes.total > 0);
    assert.deepEqual(await bench.volumes.health({ volumeId: VOLUME_ID, volumePath: undefined }), []);
    assert.deepEqual(bench.volumes.count().readOnly + bench.volumes.count().writable, 1);
    await bench.volumes.unpublish(bench.request());
    await assertNothingLeft(bench);
  });

  test("an unpublish takes it away without a republish", async () => {
    await using bench = await use();
    await publishAndForget(bench, readOnly);
    await bench.volumes.unpublish(bench.request());
    await assertNothingLeft(bench);
  });

  test("a mount that is gone is made again as asked, with what was written", async () => {
    await using bench = await use();
    await publishAndForget(bench, readOnly);
    await bench.volumes.publish(bench.request({ readOnly }));
    await bench.area.libc.unmount(bench.target, MNT_DETACH);
    const [entry] = await bench.volumes.health({ volumeId: VOLUME_ID, volumePath: undefined });
    assert.equal(entry?.status, "inaccessible");
    await assert.rejects(bench.volumes.stats({ volumeId: VOLUME_ID, volumePath: bench.target }), isKind("unavailable"));
    await bench.restart();
    await bench.volumes.publish(bench.request({ readOnly }));
    assert.equal(readFileSync(join(bench.target, "file"), "utf8"), "content");
    assert.equal(existsSync(join(bench.target, "mine")), !readOnly);
    await assert.rejects(bench.volumes.publish(bench.request({ ...others, readOnly })), isKind("conflict"));
    await bench.volumes.unpublish(bench.request());
    await assertNothingLeft(bench);
  });

  test("another volume's mount is not adopted, by whatever path its target is reached", async () => {
    await using bench = await use();
    await bench.volumes.publish(bench.request({ readOnly, volumeId: "other" }));
    symlinkSync("kubelet", join(bench.area.path, "link"));
    const paths = [bench.target, bench.target.replace("/kubelet/", "/link/"), bench.onHost(bench.target)];
    for (const targetPath of paths) {
      await assert.rejects(
        bench.volumes.publish(bench.request({ readOnly, targetPath })),
        isKind("conflict", /other,/),
      );
    }
    await bench.volumes.publish(bench.request({ readOnly, volumeId: "other" }));
    await bench.volumes.unpublish({ volumeId: "other", targetPath: bench.target });
    await assertNothingLeft(bench);
  });

  test("a data dir by another name is the same data dir", async () => {
    await using bench = await use();
    await bench.volumes.publish(bench.request({ readOnly }));
    const alias = join(bench.cache.folder, "alias");
    symlinkSync("data", alias);
    const volumes = await openOn(bench, alias);
    await volumes.publish(bench.request({ readOnly }));
    assert.deepEqual(await volumes.health({ volumeId: VOLUME_ID, volumePath: undefined }), []);
    for (const record of bench.records()) if (record.endsWith(".json")) rmSync(recordPath(bench, record));
    const forgetful = await openOn(bench, alias);
    await forgetful.publish(bench.request({ ...others, readOnly }));
    await forgetful.unpublish(bench.request());
    await assertNothingLeft(bench);
  });

  test("with its data dir gone, only kubelet's file makes it ours", async () => {
    await using bench = await use();
    await bench.volumes.publish(bench.request({ readOnly }));
    const volumes = await openOn(bench, join(bench.cache.folder, "new-data"));
    await assert.rejects(volumes.publish(bench.request({ readOnly })), isKind("refused", /not this volume's/));
    writeVolData(bench.target, VOLUME_ID);
    await volumes.publish(bench.request({ readOnly }));
    assert.deepEqual(await volumes.health({ volumeId: VOLUME_ID, volumePath: undefined }), []);
    await volumes.unpublish(bench.request());
    assert.equal(existsSync(bench.target), false);
    assert.equal(await bench.mounter.mountAt(bench.target), undefined);
  });
}

/** Mounts of somebody: the Go driver's, say. */
function foreignMounts(use: Use): void {
  const mountForeign = async (bench: MountedVolumes) => {
    mkdirSync(bench.target);
    await bench.area.libc.mount({ source: "go", target: bench.target, fsType: "tmpfs", flags: 0, data: "size=8m" });
    writeFileSync(join(bench.target, "theirs"), "x".repeat(100_000));
  };

  test("it is adopted as it is, measured as its file system says, and unpublished", async () => {
    await using bench = await use();
    await mountForeign(bench);
    writeVolData(bench.target, VOLUME_ID);
    await bench.volumes.publish(bench.request());
    await bench.restart();
    await bench.volumes.publish(bench.request({ ...others, readOnly: false }));
    assert.deepEqual(bench.artifacts.asked, []);
    assert.ok(existsSync(join(bench.target, "theirs")));
    const { bytes, inodes } = await bench.volumes.stats({ volumeId: VOLUME_ID, volumePath: bench.target });
    assert.equal(bytes.total, 8 * 1024 * 1024);
    assert.ok(bytes.used >= 100_000 && bytes.available <= bytes.total - bytes.used);
    assert.equal(inodes.used, 2);
    assert.deepEqual(await bench.volumes.health({ volumeId: VOLUME_ID, volumePath: bench.target }), []);
    await bench.volumes.unpublish(bench.request());
    await assertNothingLeft(bench);
  });

  test("one that died since is replaced, one that hangs is neither measured nor served, and can be unpublished", async () => {
    await using bench = await use({ lookLimitMs: HUNG_LIMIT_MS });
    await mountForeign(bench);
    writeVolData(bench.target, VOLUME_ID);
    await bench.volumes.publish(bench.request());
    const asked = { volumeId: VOLUME_ID, volumePath: bench.target };
    await bench.area.mountHung(bench.target);
    await assert.rejects(bench.volumes.publish(bench.request()), isKind("unavailable", /hangs/));
    await assert.rejects(bench.volumes.stats(asked), isKind("unavailable", /hangs/));
    await bench.area.libc.unmount(bench.target, MNT_DETACH);
    await bench.area.libc.unmount(bench.target, MNT_DETACH);
    await bench.area.mountDead(bench.target);
    await assert.rejects(bench.volumes.stats(asked), isKind("unavailable"));
    assert.equal((await bench.volumes.health(asked))[0]?.status, "inaccessible");
    await bench.volumes.publish(bench.request());
    assert.equal(readFileSync(join(bench.target, "file"), "utf8"), "content");
    await bench.area.mountHung(bench.target);
    await bench.volumes.unpublish(bench.request());
    await assertNothingLeft(bench);
  });

  const rows: readonly { name: string; write: (target: string) => void }[] = [
    { name: "no file", write: () => undefined },
    { name: "another driver's", write: (target) => writeVolData(target, VOLUME_ID, "csi.elsewhere") },
    { name: "another volume's", write: (target) => writeVolData(target, "csi-2") },
    {
      name: "half a file",
      write: (target) => writeFileSync(join(target, "../vol_data.json"), '{"driverName": "csi.t'),
    },
    { name: "no object", write: (target) => writeFileSync(join(target, "../vol_data.json"), "[1]") },
    { name: "a folder", write: (target) => mkdirSync(join(target, "../vol_data.json")) },
  ];
  for (const { name, write } of rows) {
    test(`it is left alone: ${name}`, async () => {
      await using bench = await use();
      await mountForeign(bench);
      write(bench.target);
      await assert.rejects(bench.volumes.publish(bench.request()), isKind("refused", /left alone/));
      assert.ok(existsSync(join(bench.target, "theirs")));
      assert.deepEqual(bench.records(), []);
      await bench.volumes.unpublish(bench.request());
      await assertNothingLeft(bench);
    });
  }

  test("an unknown volume's writes stay while they are shown anywhere", async () => {
    await using bench = await use();
    const target = bench.area.folder("elsewhere");
    const mine = (at: string) => readFileSync(join(at, "mine"), "utf8");
    const places = [
      // Nothing is unmounted at a target of another form.
      { targetPath: target, shownAt: target },
      // What was at kubelet's target is also elsewhere.
      { targetPath: bench.target, shownAt: bench.area.folder("bound") },
    ];
    for (const { targetPath, shownAt } of places) {
      const request = bench.request({ readOnly: false, targetPath });
      await publishAndForget(bench, false, targetPath);
      if (shownAt !== targetPath) await bench.area.libc.mount({ source: targetPath, target: shownAt, flags: MS_BIND });
      await bench.volumes.unpublish(request);
      assert.equal(mine(shownAt), "m");
      writeFileSync(join(shownAt, "mine"), "still mine");
      const [key = ""] = bench.records();
      assert.equal(mine(join(recordPath(bench, key), "upper")), "still mine");
      await bench.area.libc.unmount(shownAt, 0);
      mkdirSync(dirname(bench.target), { recursive: true });
      if (shownAt !== targetPath) await bench.volumes.unpublish(request);
      else await bench.volumes.publish(request).then(() => bench.volumes.unpublish(request));
      assert.deepEqual(bench.records(), []);
    }
  });

  test("an unknown volume's target that is not kubelet's is left alone, and that is OK", async () => {
    await using bench = await use();
    const target = bench.area.folder("target");
    await bench.area.libc.mount({ source: "theirs", target, fsType: "tmpfs", flags: 0 });
    await bench.volumes.unpublish({ volumeId: VOLUME_ID, targetPath: target });
    assert.ok(await bench.mounter.mountAt(target));
    for (const missing of ["nothing", "no/folder"]) {
      await bench.volumes.unpublish({ volumeId: VOLUME_ID, targetPath: join(bench.area.path, missing) });
    }
  });
}

/** A published volume that the driver knows nothing of any more, with something written if that is possible. */
async function publishAndForget(bench: MountedVolumes, readOnly: boolean, targetPath = bench.target): Promise<void> {
  await bench.volumes.publish(bench.request({ readOnly, targetPath }));
  if (!readOnly) writeFileSync(join(targetPath, "mine"), "m");
  for (const name of bench.records()) if (name.endsWith(".json")) rmSync(recordPath(bench, name));
  await bench.restart();
  assert.equal(bench.volumes.count().readOnly + bench.volumes.count().writable, 0);
}

function recordPath(bench: MountedVolumes, name: string): string {
  return join(bench.cache.cache.layout.volumes, name);
}

/** A driver on another data dir. */
async function openOn(bench: MountedVolumes, dataDir: string): Promise<Volumes> {
  const { artifacts, mounter, cache } = bench;
  const clock = new ManualClock({ passBelowMs: 1000 });
  const { log } = cache;
  const opened = await Cache.open({ dataDir, syncFileSystem: () => Promise.resolve(), clock, log });
  const platform = { os: "linux", architecture: "amd64", variant: undefined };
  return Volumes.open({
    artifacts,
    cache: opened,
    mounter,
    driverName: "csi.test",
    platform,
    concurrency: 4,
    clock,
    log,
  });
}

async function mountPoints(bench: MountedVolumes): Promise<readonly string[]> {
  const entries = await bench.mounter.mountsBelow(bench.area.path);
  return entries.map(({ mountPoint }) => mountPoint).filter((path) => !path.endsWith("/staging"));
}

async function assertNothingLeft(bench: MountedVolumes): Promise<void> {
  assert.deepEqual(await mountPoints(bench), []);
  assert.deepEqual(bench.records(), []);
  assert.equal(existsSync(bench.target), false, "the target is left");
}
