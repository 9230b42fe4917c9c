import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join, relative } from "node:path";
import { test } from "node:test";
import { Sandbox } from "../driver/index.ts";
import {
  assertBlobsWhole,
  assertNothingLeft,
  attributes,
  pushThing,
  REAL,
  untilSwept,
} from "../integration/support.ts";
import { artifact, EmbeddedRegistry, fileLayer, tarLayer } from "../registry/index.ts";

const PARAMETERS = "/sys/module/overlay/parameters";
/** Enough that deleting them takes seconds; a million (unpublished in 0.1 s, too) only takes longer to make. */
const MANY_FILES = Number(process.env["ORAS_CSI_TEST_FILES"] ?? 200_000);
const SWEPT_DEADLINE_MS = 110_000;

/** A folder whose tar has two names for one file, and an artifact that has that file's bytes in two more. */
function linkedArtifact() {
  const scratch = execFileSync("mktemp", ["-d"], { encoding: "utf8" }).trim();
  const folder = join(scratch, "folder");
  mkdirSync(join(folder, "sub"), { recursive: true });
  writeFileSync(join(folder, "one"), "linked\n");
  linkSync(join(folder, "one"), join(folder, "two"));
  linkSync(join(folder, "one"), join(folder, "sub/three"));
  writeFileSync(join(folder, "sub/tool"), "#!/bin/sh\n", { mode: 0o755 });
  symlinkSync("one", join(folder, "link"));
  const tar = execFileSync("tar", ["--sort=name", "-C", scratch, "-cf", "-", "folder"]);
  rmSync(scratch, { recursive: true });
  return artifact([tarLayer("folder", tar), fileLayer("a", "same\n"), fileLayer("b", "same\n")]);
}

/** All that can be told of a folder's entries: type, mode, owner, links, size, time and bytes. */
function snapshot(folder: string): Record<string, string> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const rows = entries.map((entry) => {
    const path = join(entry.parentPath, entry.name);
    const { mode, uid, gid, nlink, size, mtimeMs, ino } = lstatSync(path);
    const content = entry.isFile() ? sha256(readFileSync(path)) : entry.isSymbolicLink() ? readlinkSync(path) : "";
    return [relative(folder, path), [mode, uid, gid, nlink, size, mtimeMs, ino, content].join(" ")] as const;
  });
  return Object.fromEntries(rows.sort());
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** What the node's kernel module takes for said where a mount does not say it. */
const defaults: readonly { name: string; parameters: Record<string, string> }[] = [
  { name: "as they are", parameters: {} },
  { name: "all on", parameters: { index: "Y", metacopy: "Y", redirect_dir: "Y", nfs_export: "Y", xino_auto: "Y" } },
  { name: "all off", parameters: { index: "N", metacopy: "N", redirect_dir: "N", redirect_always_follow: "N" } },
];

for (const { name, parameters } of defaults) {
  test(`the cache stays as it is whatever a pod does; the overlay module's defaults ${name}`, REAL, async (t) => {
    const before = setParameters(parameters);
    if (before === undefined) return t.skip("the overlay module's parameters cannot be written here");
    using _ = { [Symbol.dispose]: () => void setParameters(before) };
    await using registry = await EmbeddedRegistry.start();
    const asked = attributes(await pushThing(registry, linkedArtifact()));
    await using sandbox = await Sandbox.start();
    const pristine = sandbox.kubelet.volume({ attributes: asked });
    const volume = sandbox.kubelet.volume({ attributes: asked, readOnly: false });
    for (const one of [pristine, volume]) await one.publish();
    const cached = () => ["blobs", "layers", "trees"].map((folder) => snapshot(join(sandbox.dataDir, folder)));
    const original = cached();
    const shown = snapshot(pristine.targetPath);

    const at = (path: string) => join(volume.targetPath, path);
    appendFileSync(at("folder/one"), "appended\n");
    assert.equal(readFileSync(at("folder/two"), "utf8"), "linked\n", "one name changes alone");
    assert.equal(readFileSync(at("folder/sub/three"), "utf8"), "linked\n");
    chmodSync(at("folder/two"), 0o600);
    chownSync(at("folder/sub/three"), 1234, 4321);
    chownSync(at("folder/sub"), 1234, 4321);
    writeFileSync(at("folder/link"), "through a link\n");
    renameSync(at("folder/sub"), at("moved"));
    renameSync(at("a"), at("moved/a"));
    truncateSync(at("b"), 2);
    utimesSync(at("moved/tool"), 1, 1);
    linkSync(at("moved/tool"), at("tool-too"));
    appendFileSync(at("tool-too"), "exit 0\n");
    assert.equal(readFileSync(at("moved/tool"), "utf8"), "#!/bin/sh\nexit 0\n", "what the pod links is linked");
    rmSync(at("folder"), { recursive: true });
    mkdirSync(at("folder"));
    writeFileSync(at("folder/one"), "anew\n");

    assert.deepEqual(cached(), original);
    assert.deepEqual(snapshot(pristine.targetPath), shown);
    await assertBlobsWhole(sandbox);
    const written = snapshot(volume.targetPath);
    await sandbox.driver.stop("SIGKILL");
    execFileSync("umount", [volume.targetPath, pristine.targetPath]);
    await sandbox.startDriver();
    for (const one of [pristine, volume]) await one.publish();
    assert.deepEqual(withoutInodes(snapshot(volume.targetPath)), withoutInodes(written), "a reboot loses nothing");
    assert.deepEqual(cached(), original);
    for (const one of [pristine, volume]) await one.unpublish();
    assert.deepEqual(cached(), original);
    await assertNothingLeft(sandbox);
  });
}

test(
  "who is not root may add to a volume, with fsGroup as its group, and the root stays as the pod left it",
  REAL,
  async () => {
    await using registry = await EmbeddedRegistry.start();
    const asked = attributes(await pushThing(registry, artifact([fileLayer("a", "a\n")])));
    await using sandbox = await Sandbox.start();
    const rows = [
      { fsGroup: undefined, mode: 0o777, gid: 0 },
      { fsGroup: "4321", mode: 0o2777, gid: 4321 },
    ];
    for (const { fsGroup, mode, gid } of rows) {
      const spec = { attributes: asked, readOnly: false, ...(fsGroup === undefined ? {} : { fsGroup }) };
      const volume = sandbox.kubelet.volume(spec);
      await volume.publish();
      const root = statSync(volume.targetPath);
      assert.deepEqual([root.mode & 0o7777, root.uid, root.gid], [mode, 0, gid]);
      // The folders above belong to root alone: the pod sees the volume elsewhere.
      const options = { cwd: volume.targetPath, uid: 1000, gid: 1000 };
      assert.equal(spawnSync("sh", ["-c", "echo mine > mine && cat a && ! echo no >> a"], options).status, 0);
      const mine = statSync(join(volume.targetPath, "mine"));
      assert.deepEqual([mine.uid, mine.gid], [1000, fsGroup === undefined ? 1000 : gid]);

      chmodSync(volume.targetPath, 0o1770);
      await sandbox.driver.stop("SIGKILL");
      execFileSync("umount", [volume.targetPath]);
      Object.assign(sandbox, { driver: await sandbox.startDriver() });
      await volume.publish();
      assert.equal(statSync(volume.targetPath).mode & 0o7777, 0o1770, "set once, when the volume was new");
      assert.ok(existsSync(join(volume.targetPath, "mine")));
      await volume.unpublish();
    }
    await assertNothingLeft(sandbox);
  },
);

test(`${MANY_FILES} files in an upper layer are deleted behind an unpublish, also after a kill`, REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const asked = attributes(await pushThing(registry, artifact([fileLayer("a", "a\n")])));
  await using sandbox = await Sandbox.create();
  // A file system of its own in memory: its inodes can be counted.
  mkdirSync(sandbox.dataDir);
  execFileSync("mount", ["-t", "tmpfs", "-o", "mode=700,nr_inodes=0", "many", sandbox.dataDir]);
  const driver = await sandbox.startDriver();
  const volume = sandbox.kubelet.volume({ attributes: asked, readOnly: false });
  await volume.publish();
  for (let folder = 0; folder < MANY_FILES / 1000; folder++) {
    const path = join(volume.targetPath, `d${folder}`);
    mkdirSync(path);
    for (let file = 0; file < 1000; file++) writeFileSync(join(path, `f${file}`), "");
  }
  using client = driver.connect();
  await client.unpublish(volume.volumeId, volume.targetPath);
  // At once: each moment costs files, and on a busy machine it may be a long one.
  await driver.stop("SIGKILL");
  assert.deepEqual(await sandbox.dataNames("volumes"), []);
  const left = filesBelow(join(sandbox.dataDir, "tmp"));
  assert.ok(left > 0, "unpublish waited for the files to be deleted");

  await sandbox.startDriver();
  const again = sandbox.kubelet.volume({ attributes: asked, readOnly: false });
  await again.publish();
  await again.unpublish();
  await untilSwept(sandbox, SWEPT_DEADLINE_MS);
});

test("folders deeper than a path can say go with their volume, and their space comes back", REAL, async () => {
  await using registry = await EmbeddedRegistry.start();
  const asked = attributes(await pushThing(registry, artifact([fileLayer("a", "a\n")])));
  await using sandbox = await Sandbox.start();
  const volume = sandbox.kubelet.volume({ attributes: asked, readOnly: false });
  await volume.publish();
  const deepen = `
    const name = "d".repeat(250);
    for (let i = 0; i < 40; i++) { fs.mkdirSync(name); process.chdir(name); }
    fs.writeFileSync("mine", "m");`;
  execFileSync(process.execPath, ["--eval", deepen], { cwd: volume.targetPath });
  await volume.unpublish();
  await assertNothingLeft(sandbox);
  await untilSwept(sandbox, SWEPT_DEADLINE_MS);
});

/** How many files a folder holds, counted by find: some may go meanwhile. */
function filesBelow(folder: string): number {
  const { stdout } = spawnSync("find", [folder, "-type", "f", "-printf", "x"], { maxBuffer: 10 * MANY_FILES });
  return stdout.length;
}

function withoutInodes(rows: Record<string, string>): Record<string, string> {
  const pairs = Object.entries(rows).map(([path, row]) => [path, row.split(" ").toSpliced(6, 1).join(" ")]);
  return Object.fromEntries(pairs);
}

/** Sets parameters of the overlay module, and returns what they were; undefined where that is not possible. */
function setParameters(wanted: Readonly<Record<string, string>>): Record<string, string> | undefined {
  try {
    const before = Object.fromEntries(
      Object.keys(wanted).map((name) => [name, readFileSync(join(PARAMETERS, name), "utf8").trim()]),
    );
    for (const [name, value] of Object.entries(wanted)) writeFileSync(join(PARAMETERS, name), value);
    return before;
  } catch {
    return undefined;
  }
}
