import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { type Driver, Sandbox } from "../driver/index.ts";
import { type SmallDiskOptions, useSmallDisk, whyNoSmallDisk } from "../helpers/small-disk.ts";
import { soon } from "../helpers/soon.ts";
import {
  artifact,
  type BuiltLayer,
  EmbeddedRegistry,
  fileLayer,
  folderLayer,
  layer as layerOf,
  push,
} from "../registry/index.ts";
import { attributes, filesBelow, REAL, rejectsWith, textFiles } from "./support.ts";

const MIB = 1024 * 1024;
const SKIP = { skip: REAL.skip || whyNoSmallDisk() };
/** The driver's own marks are out of the way: only what does not fit counts. */
const NO_MARKS = ["--cache-high-percent=99", "--cache-low-percent=98"];

/** A driver with its data dir on a small disk of its own, and a registry. */
async function use(options: SmallDiskOptions & { readonly flags?: readonly string[] } = {}) {
  const { flags = NO_MARKS, ...diskOptions } = options;
  const disk = useSmallDisk({ type: "ext4", sizeBytes: 64 * MIB, ...diskOptions });
  const dataDir = join(disk.path, "data");
  const sandbox = await Sandbox.create({ flags });
  const driver: Driver = sandbox.launchDriver({ dataDir });
  await driver.ready();
  const registry = await EmbeddedRegistry.start();
  const pushed = async (name: string, layers: readonly BuiltLayer[]) => {
    await push(registry, `team/${name}`, artifact(layers), "v1");
    registry.log.clear();
    return sandbox.kubelet.volume({ attributes: attributes(`${registry.host}/team/${name}:v1`) });
  };
  return {
    disk,
    sandbox,
    registry,
    dataDir,
    driver,
    pushed,
    /** Publishes a small artifact that the node has never seen: a driver that works can do so. */
    async assertWorks() {
      const volume = await pushed(`small-${randomBytes(4).toString("hex")}`, [fileLayer("a", "small\n")]);
      await volume.publish();
      assert.deepEqual(await textFiles(volume.targetPath), { a: "small\n" });
      await volume.unpublish();
    },
    /** Nothing that is half-made stays: staging goes in the background. */
    async assertNoDebris() {
      const left = (folder: string) => readdirSync(join(dataDir, folder));
      await soon(async () => assert.deepEqual([left("tmp"), left("ingest")], [[], []]));
    },
    trees: async () => (await readdir(join(dataDir, "trees"))).filter((name) => name.endsWith(".json")).length,
    async [Symbol.asyncDispose]() {
      await registry.close();
      await sandbox[Symbol.asyncDispose]();
      disk[Symbol.dispose]();
    },
  };
}

test(
  "an artifact that is larger than the disk is refused with figures, before a byte of it is fetched",
  SKIP,
  async () => {
    await using bench = await use();
    const volume = await bench.pushed("large", [fileLayer("a", randomBytes(70 * MIB))]);
    const { message } = await rejectsWith(volume.publish(), "RESOURCE_EXHAUSTED");
    assert.match(
      message,
      /large:v1: 73\.4 MB are needed, the file system of the driver's data dir has [\d.]+ MB of [\d.]+ MB left/,
    );
    assert.equal(bench.registry.log.blobGets().length, 0);
    await bench.assertNoDebris();
    await bench.assertWorks();
  },
);

test("a pull that needs room takes what no volume has, the longest unused first, and nothing else", SKIP, async () => {
  await using bench = await use();
  const running = await bench.pushed("running", [fileLayer("a", randomBytes(15 * MIB))]);
  const [older, newer] = [
    await bench.pushed("older", [fileLayer("a", randomBytes(15 * MIB))]),
    await bench.pushed("newer", [fileLayer("a", randomBytes(10 * MIB))]),
  ];
  for (const volume of [running, older, newer]) await volume.publish();
  for (const volume of [older, newer]) await volume.unpublish();
  const before = await filesBelow(running.targetPath);
  const next = await bench.pushed("next", [fileLayer("b", randomBytes(20 * MIB))]);
  await next.publish();
  assert.equal(await bench.trees(), 3, "running, newer and next");
  bench.registry.log.clear();
  await newer.publish();
  assert.equal(bench.registry.log.blobGets().length, 0);
  assert.deepEqual(await filesBelow(running.targetPath), before);

  const tooLarge = await bench.pushed("too-large", [fileLayer("c", randomBytes(30 * MIB))]);
  await newer.unpublish();
  const { message } = await rejectsWith(tooLarge.publish(), "RESOURCE_EXHAUSTED", /nothing more can be taken out/);
  assert.match(message, /31\.5 MB are needed/);
  assert.equal(await bench.trees(), 2, "running and next");
  await bench.assertNoDebris();
  await bench.assertWorks();
});

test(
  "a tar that fills the disk in the middle: the pull fails with figures, the cache and running volumes are unharmed",
  SKIP,
  async () => {
    await using bench = await use();
    const running = await bench.pushed("running", [fileLayer("a", "runs\n"), await folderLayer("f", { b: "too\n" })]);
    const unused = await bench.pushed("unused", [fileLayer("a", randomBytes(20 * MIB))]);
    for (const volume of [running, unused]) await volume.publish();
    await unused.unpublish();
    // Packed, it is a thousandth of that.
    const bomb = await folderLayer("bomb", { zeros: Buffer.alloc(90 * MIB), more: "more\n" });
    const volume = await bench.pushed("bomb", [fileLayer("a", randomBytes(MIB)), bomb]);
    const { message } = await rejectsWith(volume.publish(), "RESOURCE_EXHAUSTED", /disk is full/);
    assert.match(message, /\(without it, [\d.]+ MB of [\d.]+ MB and \d+ of \d+ inodes are left\)$/);
    assert.equal(await bench.trees(), 1, "what nobody used went first");
    await bench.assertNoDebris();
    assert.deepEqual(await textFiles(running.targetPath), { a: "runs\n", "f/b": "too\n" });
    const { blocks, bavail } = statfsSync(bench.disk.path);
    assert.ok(bavail / blocks > 0.9, "all that the pull wrote is gone");
    await bench.assertWorks();
  },
);

test("a tar that fits only when others go is unpacked after they went", SKIP, async () => {
  await using bench = await use();
  const unused = await bench.pushed("unused", [fileLayer("a", randomBytes(20 * MIB))]);
  await unused.publish();
  await unused.unpublish();
  const layer = await folderLayer("grows", { zeros: Buffer.alloc(45 * MIB) });
  const volume = await bench.pushed("grows", [layer]);
  await volume.publish();
  assert.equal((await filesBelow(volume.targetPath)).length, 1);
  assert.equal(await bench.trees(), 1);
});

test("inodes that run out in the middle are a full disk, too", SKIP, async () => {
  await using bench = await use({ inodes: 400 });
  const running = await bench.pushed("running", [fileLayer("a", "runs\n")]);
  await running.publish();
  const many = Object.fromEntries(Array.from({ length: 600 }, (_, i) => [`f${i}`, `${i}\n`]));
  const volume = await bench.pushed("many", [await folderLayer("many", many)]);
  await rejectsWith(
    volume.publish(),
    "RESOURCE_EXHAUSTED",
    /disk is full \(without it, .* and 3\d\d of \d+ inodes are left\)$/,
  );
  await bench.assertNoDebris();
  assert.deepEqual(await textFiles(running.targetPath), { a: "runs\n" });
  await bench.assertWorks();
});

test("a disk that others filled gives a new volume the room that unused trees have", SKIP, async () => {
  await using bench = await use();
  const unused = await bench.pushed("unused", [fileLayer("a", randomBytes(5 * MIB))]);
  await unused.publish();
  await unused.unpublish();
  const theirs = join(bench.disk.path, "theirs");
  for (const sizeBytes of [64 * MIB, MIB, 4096]) fill(theirs, sizeBytes);
  await bench.assertWorks();
  assert.equal(await bench.trees(), 1, "only what was just made");
  rmSync(theirs);
});

test("--cache-max-bytes holds for what a pull needs, and for what a tar turns out to be", SKIP, async () => {
  await using bench = await use({ flags: [...NO_MARKS, "--cache-max-bytes=20Mi"] });
  const large = await bench.pushed("large", [fileLayer("a", randomBytes(21 * MIB))]);
  await rejectsWith(large.publish(), "RESOURCE_EXHAUSTED", /22\.0 MB are needed, --cache-max-bytes is 21\.0 MB/);
  const program = layerOf(randomBytes(11 * MIB), "x/program", {
    "org.opencontainers.image.title": "run",
    "org.cncf.model.file.metadata+json": '{"mode":493}',
  });
  // With a mode of its own it is a copy.
  const copied = await bench.pushed("copied", [program]);
  await rejectsWith(copied.publish(), "RESOURCE_EXHAUSTED", /23\.1 MB are needed, --cache-max-bytes is 21\.0 MB/);
  assert.equal(bench.registry.log.blobGets().length, 0);
  const grows = await bench.pushed("grows", [await folderLayer("f", { zeros: Buffer.alloc(25 * MIB) })]);
  await rejectsWith(grows.publish(), "RESOURCE_EXHAUSTED", /--cache-max-bytes is 21\.0 MB/);
  await bench.assertNoDebris();
  assert.deepEqual(readdirSync(join(bench.dataDir, "layers/sha256")), []);
  await bench.assertWorks();
});

for (const isUsed of [false, true]) {
  const outcome = isUsed ? "fails with figures" : "goes on in the room that unused trees had";
  test(`a pull whose disk others fill meanwhile ${outcome}`, SKIP, async () => {
    await using bench = await use();
    const { registry, disk } = bench;
    const other = await bench.pushed("other", [fileLayer("a", randomBytes(20 * MIB))]);
    await other.publish();
    if (!isUsed) await other.unpublish();
    const volume = await bench.pushed("thing", [fileLayer("a", randomBytes(10 * MIB))]);
    const gate = Promise.withResolvers<void>();
    registry.fault = ({ path }) =>
      path.includes("/blobs/") ? { kind: "hold", afterBytes: MIB, until: gate.promise } : undefined;
    const held = registry.log.waitFor(({ path, bytesSent }) => path.includes("/blobs/") && bytesSent === MIB);
    const publishing = volume.publish();
    publishing.catch(() => undefined);
    await held;
    fill(join(disk.path, "theirs"), MIB);
    gate.resolve();
    if (isUsed) await rejectsWith(publishing, "RESOURCE_EXHAUSTED", /MB .*left/);
    else await publishing;
    assert.equal(await bench.trees(), 1);
    rmSync(join(disk.path, "theirs"));
    await bench.assertNoDebris();
    assert.equal((await filesBelow((isUsed ? other : volume).targetPath)).length, 1);
    await bench.assertWorks();
  });
}

test("a volume may ask for its files to go with it", SKIP, async () => {
  await using bench = await use();
  const { registry, sandbox, dataDir } = bench;
  await bench.pushed("thing", [fileLayer("a", "a\n"), await folderLayer("f", { b: "b\n" })]);
  const more = { "options.cleanup": "delete" };
  const volume = () => sandbox.kubelet.volume({ attributes: attributes(`${registry.host}/team/thing:v1`, more) });
  const [first, second] = [volume(), volume()];
  for (const each of [first, second]) await each.publish();
  await first.unpublish();
  assert.deepEqual(await textFiles(second.targetPath), { a: "a\n", "f/b": "b\n" });
  assert.equal(await bench.trees(), 1);
  await second.unpublish();
  await soon(async () => {
    for (const folder of ["trees", "layers"]) assert.deepEqual(await filesBelow(join(dataDir, folder)), []);
  });
  assert.deepEqual(await filesBelow(join(dataDir, "blobs")), []);
});

/** Appends pieces of that size until the disk takes no more. */
function fill(path: string, sizeBytes: number): void {
  try {
    for (;;) writeFileSync(path, Buffer.alloc(sizeBytes), { flag: "a" });
  } catch (reason) {
    assert.equal((reason as NodeJS.ErrnoException).code, "ENOSPC");
  }
}
