import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type Driver, type KubeletVolume, type MountRow, mountsBelow, Sandbox } from "../driver/index.ts";
import { type MountArea, useMountArea } from "../helpers/mount-area.ts";
import { assertNothingLeft, attributes, pushThing, REAL, rejectsWith } from "../integration/support.ts";
import { artifact, EmbeddedRegistry, fileLayer } from "../registry/index.ts";

const MNT_DETACH = 2;
/** The answer about what hangs comes within a fifth of this before the deadline: on a busy machine, too. */
const PATIENCE = { timeoutMs: 10_000 };

// What test/volumes/targets.test.ts tries on parts, here on the running driver: one for all cases.
describe("targets of a running driver", REAL, () => {
  let registry: EmbeddedRegistry;
  let sandbox: Sandbox;
  let driver: Driver;
  let area: MountArea;
  let asked: Record<string, string>;

  before(async () => {
    registry = await EmbeddedRegistry.start();
    asked = attributes(await pushThing(registry, artifact([fileLayer("a", "a\n")])));
    sandbox = await Sandbox.create();
    driver = await sandbox.startDriver();
    area = await useMountArea();
  });
  after(async () => {
    await area[Symbol.asyncDispose]();
    await sandbox[Symbol.asyncDispose]();
    await registry.close();
  });

  /** Another driver on the same data dir, with something done in between. */
  const restart = async (meanwhile: () => Promise<void>) => {
    await driver.stop("SIGKILL");
    await meanwhile();
    driver = await sandbox.startDriver();
  };
  const volume = (readOnly = true) => sandbox.kubelet.volume({ attributes: asked, readOnly });

  test("a target below symlinks that lead in a circle is refused until they are gone", async () => {
    const one = volume();
    await one.prepareFolder();
    const parent = dirname(one.targetPath);
    await rm(parent, { recursive: true });
    await symlink(parent, parent);
    using client = driver.connect();
    await rejectsWith(client.publish(one.request()), "FAILED_PRECONDITION", /symlinks in its path lead in a circle/);
    const unpublish = () => client.unpublish(one.volumeId, one.targetPath);
    await rejectsWith(unpublish(), "FAILED_PRECONDITION", /symlinks in its path lead in a circle/);
    await rm(parent);
    await unpublish();
    await assertNothingLeft(sandbox);
  });

  test("a target that hangs: the answer comes in time, others are served, an unpublish works", async () => {
    const [hung, covered, other] = [volume(), volume(), volume()];
    await hung.prepareFolder();
    await mkdir(hung.targetPath);
    await area.mountHung(hung.targetPath);
    await covered.publish();
    await area.mountHung(covered.targetPath);
    const waiting = [hung, covered].map((one) => rejectsWith(one.publish(PATIENCE), "UNAVAILABLE", /does not answer/));
    using client = driver.connect();
    assert.ok((await client.probe(PATIENCE)).ready);
    await other.publish();
    await other.unpublish();
    await Promise.all(waiting);
    assert.equal((await covered.health())[0]?.status, "INACCESSIBLE");
    for (const one of [hung, covered]) await one.unpublish();
    await assertNothingLeft(sandbox);
  });

  test("more targets that hang than the process has threads: others are served", async () => {
    const hung = Array.from({ length: 6 }, () => volume());
    for (const one of hung) {
      await one.prepareFolder();
      await mkdir(one.targetPath);
      await area.mountHung(one.targetPath);
    }
    const waiting = hung.map((one) => rejectsWith(one.publish(PATIENCE), "UNAVAILABLE"));
    for (const readOnly of [true, false]) {
      const other = volume(readOnly);
      await other.publish();
      await other.unpublish();
    }
    await Promise.all(waiting);
    for (const one of hung) await one.unpublish();
    await assertNothingLeft(sandbox);
  });

  test("a driver that looks at what hangs stops when it is asked to", async () => {
    const hung = volume();
    await hung.prepareFolder();
    await mkdir(hung.targetPath);
    await area.mountHung(hung.targetPath);
    await rejectsWith(hung.publish(PATIENCE), "UNAVAILABLE");
    assert.deepEqual(await driver.stop("SIGTERM"), { code: 0, signal: null });
    assert.equal(existsSync(driver.socketPath), false);
    driver = await sandbox.startDriver();
    await hung.unpublish();
    await assertNothingLeft(sandbox);
  });

  test("a volume that a process works in goes, and the process keeps what it has", async () => {
    for (const readOnly of [true, false]) {
      const busy = volume(readOnly);
      await busy.publish();
      const child = spawn("sh", ["-c", "exec 3<a; echo ready; read -r line; cat <&3"], { cwd: busy.targetPath });
      const output: Buffer[] = [];
      child.stdout.on("data", (piece: Buffer) => output.push(piece));
      await once(child.stdout, "data");
      await busy.unpublish();
      child.stdin.end("go on\n");
      await once(child, "close");
      assert.equal(Buffer.concat(output).toString(), "ready\na\n");
    }
    await assertNothingLeft(sandbox);
  });

  test("a link to kubelet's folder is kubelet's folder", async () => {
    const link = join(sandbox.folder, "kubelet-link");
    await symlink("kubelet", link);
    using client = driver.connect();
    for (const readOnly of [true, false]) {
      const one = volume(readOnly);
      await one.publish();
      const targetPath = one.targetPath.replace(sandbox.kubeletFolder, link);
      await client.publish({ ...one.request(), targetPath });
      assert.equal(sandbox.mounts().length, 1);
      await client.stats(one.volumeId, targetPath);
      assert.deepEqual(await client.health(one.volumeId, targetPath), []);
      await client.unpublish(one.volumeId, targetPath);
      await one.unpublish();
      await assertNothingLeft(sandbox);
    }
  });

  test("health: what is gone, of one target and of all", async () => {
    using client = driver.connect();
    const targets = ["one", "two"].map((name) => join(sandbox.folder, name));
    const request = { volumeId: "static", readonly: true, volumeContext: asked };
    for (const targetPath of targets) await client.publish({ ...request, targetPath });
    const [one = "", two = ""] = targets;
    assert.deepEqual(await client.health("static", ""), []);
    await area.libc.unmount(two, MNT_DETACH);
    assert.deepEqual(await client.health("static", one), []);
    for (const path of [two, ""]) {
      const [entry, ...rest] = await client.health("static", path);
      assert.deepEqual([entry?.status, entry?.reason, rest], ["INACCESSIBLE", "MountMissing", []]);
    }
    await rejectsWith(client.health("static", join(sandbox.folder, "three")), "NOT_FOUND");
    await rejectsWith(client.health("unknown", ""), "NOT_FOUND");
    for (const targetPath of targets) await client.unpublish("static", targetPath);
    await assertNothingLeft(sandbox);
  });

  test("health: a tree that is gone is lost data, for those who can still read it, too", async () => {
    const [readOnly, writable] = [volume(true), volume(false)];
    for (const one of [readOnly, writable]) await one.publish();
    const [tree = ""] = (await sandbox.dataNames("trees")).filter((name) => !name.endsWith(".json"));
    await rm(join(sandbox.dataDir, "trees", tree), { recursive: true });
    for (const one of [readOnly, writable]) {
      assert.deepEqual(
        (await one.health()).map(({ status, reason }) => ({ status, reason })),
        [{ status: "DATA_LOSS", reason: "TreeMissing" }],
      );
      await one.publish();
      await one.unpublish();
    }
    await assertNothingLeft(sandbox);
    const healed = volume();
    await healed.publish();
    assert.equal(await readFile(join(healed.targetPath, "a"), "utf8"), "a\n");
    assert.deepEqual(await healed.health(), []);
    await healed.unpublish();
  });

  test("records that are lost while the driver is stopped, and mounts that are lost with the node", async () => {
    const volumes = [volume(true), volume(false), volume(false)];
    for (const one of volumes) await one.publish();
    const [readOnly, writable, unheard] = volumes as [KubeletVolume, KubeletVolume, KubeletVolume];
    await writeFile(join(writable.targetPath, "mine"), "m");
    const mounts: readonly MountRow[] = sandbox.mounts();
    await restart(async () => {
      const records = (await sandbox.dataNames("volumes")).filter((name) => name.endsWith(".json"));
      for (const name of records) await rm(join(sandbox.dataDir, "volumes", name));
    });
    for (const one of [readOnly, writable]) {
      await one.publish();
      assert.deepEqual(await one.health(), []);
      assert.equal((await one.stats()).length, 2);
    }
    await unheard.unpublish();
    assert.deepEqual(
      sandbox.mounts(),
      mounts.filter(({ target }) => target !== unheard.targetPath),
    );
    await restart(async () => {
      for (const { target } of sandbox.mounts()) await area.libc.unmount(target, 0);
    });
    for (const one of [readOnly, writable]) await one.publish();
    assert.equal(await readFile(join(writable.targetPath, "mine"), "utf8"), "m");
    for (const one of [readOnly, writable]) await one.unpublish();
    await assertNothingLeft(sandbox);
  });

  test("what cannot be a target is refused, and kubelet can clean up", async () => {
    const made: readonly { make: (target: string) => Promise<unknown>; clean: (target: string) => Promise<unknown> }[] =
      [
        { make: (target) => writeFile(target, "x"), clean: (target) => rm(target) },
        { make: (target) => mkdir(join(target, "x"), { recursive: true }), clean: (t) => rm(t, { recursive: true }) },
        { make: (target) => symlink(sandbox.folder, target), clean: (target) => rm(target) },
        { make: (target) => rm(dirname(target), { recursive: true }), clean: () => Promise.resolve() },
      ];
    using client = driver.connect();
    for (const { make, clean } of made) {
      const one = volume();
      await one.prepareFolder();
      await make(one.targetPath);
      await rejectsWith(client.publish(one.request()), "FAILED_PRECONDITION", new RegExp(one.targetPath));
      await clean(one.targetPath);
      await one.publish();
      await one.unpublish();
      assert.equal(existsSync(dirname(one.targetPath)), false);
    }
    await assertNothingLeft(sandbox);
  });

  test("somebody's mount at kubelet's target: a publish leaves it, an unpublish clears it", async () => {
    const one = volume();
    await one.prepareFolder();
    await mkdir(one.targetPath);
    await writeFile(join(dirname(one.targetPath), "vol_data.json"), "{}");
    await area.libc.mount({ source: "theirs", target: one.targetPath, fsType: "tmpfs", flags: 0 });
    using client = driver.connect();
    await rejectsWith(client.publish(one.request()), "FAILED_PRECONDITION", /left alone/);
    assert.equal(mountsBelow(one.targetPath).length, 1);
    await one.unpublish();
    await assertNothingLeft(sandbox);
  });
});
