import assert from "node:assert/strict";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { type MountArea, type MountAreaOptions, skipMounts, useMountArea } from "../../test/helpers/mount-area.ts";
import { mounterImplementations } from "../../test/helpers/mounter-implementations.ts";
import { DriverError, errnoOf } from "../base/index.ts";
import { defaultMountFlags } from "./mount-flags.ts";
import { hasUpperDir } from "./mount-table.ts";
import type { Mounter, OverlayOptions } from "./mounter.ts";

for (const { name, create } of mounterImplementations) {
  describe(`${name}: overlay`, { skip: skipMounts }, () => overlayContract(create));
}

/** What every mounter's overlay must do, on real mounts. */
function overlayContract(create: (area: MountArea) => Mounter): void {
  const use = async (options?: MountAreaOptions) => {
    const area = await useMountArea(options);
    const layers = layersIn(area, "volume");
    mkdirSync(join(layers.lower, "folder"));
    writeFileSync(join(layers.lower, "folder/file"), "below\n");
    return { area, mounter: create(area), ...layers };
  };

  test("writes go to the upper layer, the lower one stays", async () => {
    const { area, mounter, ...layers } = await use();
    await using _ = area;
    await mounter.overlay(layers);
    const { lower, upper, target } = layers;
    appendFileSync(join(target, "folder/file"), "added\n");
    writeFileSync(join(target, "new"), "new");
    renameSync(join(target, "folder"), join(target, "renamed"));
    assert.equal(readFileSync(join(target, "renamed/file"), "utf8"), "below\nadded\n");
    rmSync(join(target, "renamed/file"));
    assert.deepEqual(readdirSync(target).sort(), ["new", "renamed"]);
    assert.deepEqual(readdirSync(lower), ["folder"]);
    assert.equal(readFileSync(join(lower, "folder/file"), "utf8"), "below\n");
    assert.equal(readFileSync(join(upper, "new"), "utf8"), "new");
  });

  test("an unmount does not wait for the sync of what was written, which comes behind it", async () => {
    const { area, ...layers } = await use();
    await using _ = area;
    const written = Promise.withResolvers<void>();
    const syncing: number[] = [];
    // As if the disk that the upper layer is on took its time.
    const closeInBackground = async (fd: number) => {
      syncing.push(fd);
      await written.promise;
      await area.libc.closeInBackground(fd);
    };
    const mounter = create({ ...area, libc: { ...area.libc, closeInBackground } });
    await mounter.overlay(layers);
    writeFileSync(join(layers.target, "new"), "new");
    await mounter.unmount(layers.target, "plain");
    assert.equal(await mounter.mountAt(layers.target), undefined);
    assert.deepEqual(readdirSync(layers.target), []);
    assert.equal(syncing.length, 1);
    assert.equal(readlinkSync(`/proc/self/fd/${syncing[0]}`), "/", "the root of a mount that is nowhere");
    written.resolve();
    await mounter.overlay(layers);
    assert.deepEqual(readdirSync(layers.target), ["folder", "new"]);
  });

  test("one of two hard-linked names changes alone", async () => {
    const { area, mounter, ...layers } = await use();
    await using _ = area;
    const { lower, target } = layers;
    writeFileSync(join(lower, "one"), "shared");
    linkSync(join(lower, "one"), join(lower, "two"));
    await mounter.overlay(layers);
    appendFileSync(join(target, "one"), " changed");
    assert.equal(readFileSync(join(target, "one"), "utf8"), "shared changed");
    assert.equal(readFileSync(join(target, "two"), "utf8"), "shared");
    assert.equal(readFileSync(join(lower, "one"), "utf8"), "shared");
    assert.equal(readFileSync(join(lower, "two"), "utf8"), "shared");
  });

  test("chown and chmod copy no data up and leave the lower file alone", async () => {
    const { area, mounter, ...layers } = await use();
    await using _ = area;
    const { lower, upper, target } = layers;
    const content = Buffer.alloc(1 << 20, "x");
    writeFileSync(join(lower, "large"), content, { mode: 0o644 });
    await mounter.overlay(layers);
    chownSync(join(target, "large"), 1234, 1234);
    chmodSync(join(target, "large"), 0o600);
    assert.deepEqual(ownerAndMode(join(target, "large")), [1234, 0o600]);
    assert.deepEqual(ownerAndMode(join(lower, "large")), [0, 0o644]);
    assert.equal(statSync(join(upper, "large")).blocks, 0);
    assert.ok(readFileSync(join(target, "large")).equals(content));
  });

  test("its flags and options are said outright", async () => {
    const { area, mounter, ...layers } = await use({ propagation: "shared" });
    await using _ = area;
    await mounter.overlay({ ...layers, flags: { noexec: true, accessTimes: "noatime", nodiratime: false } });
    for (const path of [layers.target, join(area.peer, "volume/target")]) {
      const entry = await mounter.mountHolding(path);
      assert.deepEqual(entry?.options, ["rw", "nosuid", "nodev", "noexec", "noatime"]);
      assert.equal(entry?.fsType, "overlay");
      const options = entry?.superOptions.split(",") ?? [];
      assert.ok(options.includes("redirect_dir=on") && options.includes("metacopy=on"), entry?.superOptions);
      assert.ok(!options.includes("index=on"));
    }
  });

  test("files below that were replaced are seen after a refresh, which changes nothing else", async () => {
    const { area, mounter, ...layers } = await use({ propagation: "shared" });
    await using _ = area;
    const flags = { noexec: true, accessTimes: "noatime", nodiratime: true } as const;
    await mounter.overlay({ ...layers, flags });
    const { lower, target } = layers;
    writeFileSync(join(target, "own"), "own");
    assert.equal(readFileSync(join(target, "folder/file"), "utf8"), "below\n");
    const before = await mounter.mountHolding(target);
    writeFileSync(join(lower, "new"), "replaced\n");
    renameSync(join(lower, "new"), join(lower, "folder/file"));
    await mounter.refreshOverlay(target);
    assert.equal(readFileSync(join(target, "folder/file"), "utf8"), "replaced\n");
    assert.equal(readFileSync(join(target, "own"), "utf8"), "own");
    assert.deepEqual(await mounter.mountHolding(target), before);
    writeFileSync(join(target, "more"), "the mount is writable");
  });

  test("the mount's root has the owner and mode of the upper layer", async () => {
    const { area, mounter, ...layers } = await use();
    await using _ = area;
    chownSync(layers.upper, 0, 777);
    chmodSync(layers.upper, 0o2777);
    await mounter.overlay(layers);
    assert.equal(statSync(layers.target).mode & 0o7777, 0o2777);
    assert.equal(statSync(layers.target).gid, 777);
  });

  test("paths with commas, colons, backslashes, spaces, newlines and other letters", async () => {
    const { area, mounter } = await use();
    await using _ = area;
    for (const odd of ["a,b:c", "back\\slash\\", "space and\nnewline", "\\054,\\:", "ünïcode 漢字", "x=y"]) {
      const layers = layersIn(area, odd);
      writeFileSync(join(layers.lower, "file"), "content");
      await mounter.overlay(layers);
      assert.equal(readFileSync(join(layers.target, "file"), "utf8"), "content");
      writeFileSync(join(layers.target, "new"), "");
      assert.ok(existsSync(join(layers.upper, "new")), odd);
      const entry = await mounter.mountHolding(layers.target);
      assert.ok(entry);
      assert.ok(hasUpperDir(entry, layers.upper), entry.superOptions);
      assert.ok(!hasUpperDir(entry, layers.lower), entry.superOptions);
      await mounter.unmount(layers.target, "plain");
    }
  });

  test("an upper layer on an overlay is refused with what to change", async () => {
    const { area, mounter, ...layers } = await use();
    await using _ = area;
    await mounter.overlay(layers);
    const inner = layersIn(area, "volume/target");
    await assert.rejects(mounter.overlay({ ...inner, lower: area.folder("lower") }), (error) => {
      assert.ok(error instanceof DriverError);
      assert.equal(error.kind, "refused");
      assert.match(error.message, /\(overlay\) cannot hold an upper layer/);
      assert.match(error.message, /set readOnly: true or give the data dir a hostPath$/);
      return true;
    });
    assert.equal(await mounter.mountAt(inner.target), undefined);
  });

  test("a disk without room for the work folder is no-space, and nothing stays mounted", async () => {
    const { area, mounter, ...layers } = await use({ tmpfs: "nr_inodes=50" });
    await using _ = area;
    fillInodes(area.folder("filler"));
    await assert.rejects(mounter.overlay(layers), (error) => {
      assert.ok(error instanceof DriverError);
      assert.equal(error.kind, "no-space");
      assert.match(error.message, /full/);
      return true;
    });
    assert.equal(await mounter.mountAt(layers.target), undefined);
  });

  test("options that the kernel would cut are refused", async () => {
    const { area, mounter, ...layers } = await use();
    await using _ = area;
    const deep = area.folder(Array.from({ length: 9 }, () => "d".repeat(200)).join("/"));
    const folders = { lower: join(deep, "lower"), upper: join(deep, "upper"), work: join(deep, "work") };
    for (const folder of Object.values(folders)) mkdirSync(folder);
    const isTooLong = { kind: "refused", message: /options have \d+ bytes, the kernel takes 4095/ };
    await assert.rejects(mounter.overlay({ ...layers, ...folders }), isTooLong);
  });
}

function layersIn(area: MountArea, name: string): OverlayOptions {
  const [lower, upper, work, target] = ["lower", "upper", "work", "target"].map((part) =>
    area.folder(join(name, part)),
  );
  return { lower: lower!, upper: upper!, work: work!, target: target!, flags: defaultMountFlags };
}

function ownerAndMode(path: string): [number, number] {
  const { uid, mode } = statSync(path);
  return [uid, mode & 0o777];
}

function fillInodes(folder: string): void {
  try {
    for (let i = 0; ; i++) writeFileSync(join(folder, String(i)), "");
  } catch (error) {
    assert.equal(errnoOf(error), "ENOSPC");
  }
}
