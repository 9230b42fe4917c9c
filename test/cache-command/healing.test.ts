import assert from "node:assert/strict";
import { closeSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runProgram, Sandbox, unmountBelow } from "../driver/index.ts";
import { attributes, pushThing, REAL } from "../integration/support.ts";
import { artifact, type BuiltLayer, EmbeddedRegistry, fileLayer, folderLayer } from "../registry/index.ts";
import { flipByte } from "../verify/verify-bench.ts";
import { CacheCommand } from "./support.ts";

const MODEL = "m".repeat(5000);
const hexOf = ({ digest }: BuiltLayer) => digest.slice("sha256:".length);

/** A driver with a volume of each kind of one artifact: a file and a folder. */
async function useVolumes() {
  const registry = await EmbeddedRegistry.start();
  const model = fileLayer("model", MODEL);
  const conf = await folderLayer("conf", { "sub/a": "content a", b: "content b" });
  const reference = await pushThing(registry, artifact([model, conf]));
  const sandbox = await Sandbox.start();
  const volume = (readOnly: boolean) => sandbox.kubelet.volume({ attributes: attributes(reference), readOnly });
  const [shared, own] = [volume(true), volume(false)];
  for (const each of [shared, own]) await each.publish();
  registry.log.clear();
  const at = (path: string) => join(sandbox.dataDir, path);
  return {
    registry,
    reference,
    sandbox,
    volume,
    shared,
    own,
    cache: new CacheCommand(sandbox.dataDir),
    blob: at(`blobs/sha256/${hexOf(model)}`),
    layer: at(`layers/sha256/${hexOf(conf)}.artifact`),
    async [Symbol.asyncDispose]() {
      await sandbox[Symbol.asyncDispose]();
      await registry[Symbol.asyncDispose]();
    },
  };
}

const readIn = ({ targetPath }: { readonly targetPath: string }, path: string) =>
  readFileSync(join(targetPath, path), "utf8");

for (const isStopped of [false, true]) {
  const when = isStopped ? "while no driver runs" : "beside the driver";
  test(`flipped bytes are found ${when}, told as DATA_LOSS, fetched anew, and right in running pods`, REAL, () =>
    findsAndMends(isStopped),
  );
}

async function findsAndMends(isStopped: boolean): Promise<void> {
  await using area = await useVolumes();
  const { cache, shared, own, registry, sandbox } = area;
  if (isStopped) await sandbox.driver.stop();
  const open = openSync(join(shared.targetPath, "model"), "r");
  flipByte(area.blob);
  flipByte(join(area.layer, "conf/sub/a"));
  for (const volume of [shared, own]) {
    assert.notEqual(readIn(volume, "model"), MODEL, "the test has not flipped what pods see");
    assert.notEqual(readIn(volume, "conf/sub/a"), "content a");
  }

  const { code, output } = await cache.run("verify --repair");
  assert.equal(code, 1);
  assert.match(output, /^blob sha256:[0-9a-f]{64} has other bytes than its digest says$/m);
  assert.match(output, /^the unpacked layer sha256:.* is wrong: "conf\/sub\/a" has other bytes than were written$/m);
  assert.match(output, /^tree [0-9a-f]{12} \(.*\): ".*" and 1 more have wrong bytes$/m);
  assert.match(output, /^tree [0-9a-f]{12}: not mended yet: /m);
  if (isStopped) await sandbox.startDriver();
  for (const volume of [shared, own]) {
    const [entry] = await volume.health();
    assert.deepEqual([entry?.status, entry?.reason], ["DATA_LOSS", "WrongBytes"]);
  }
  assert.match((await cache.json("ls"))[0]?.damage ?? "", /wrong bytes/);

  await area.volume(true).publish();
  assert.equal(registry.log.blobGets().length, 2, "each bad layer is fetched once");
  for (const volume of [shared, own]) {
    assert.equal(readIn(volume, "model"), MODEL, "a pod that runs sees the right bytes when it opens the file");
    assert.equal(readIn(volume, "conf/sub/a"), "content a");
    assert.deepEqual(await volume.health(), []);
  }
  const first = Buffer.alloc(1);
  readSync(open, first, 0, 1, 0);
  closeSync(open);
  assert.equal(first.toString(), "l", "who has it open keeps what he has");
  assert.equal((await cache.run("verify")).code, 0);
}

for (const isStopped of [false, true]) {
  const when = isStopped ? "while no driver runs" : "beside the driver";
  test(`a tree that could not be mended is told by each verification until it is ${when}`, REAL, () =>
    tellsUntilMended(isStopped),
  );
}

async function tellsUntilMended(isStopped: boolean): Promise<void> {
  await using area = await useVolumes();
  const { cache, shared, own, sandbox } = area;
  const [tree] = await cache.json("ls");
  const short = tree?.id.slice(0, 12);
  if (isStopped) await sandbox.driver.stop();
  flipByte(area.blob);
  assert.equal((await cache.run("verify --repair")).code, 1);

  const says = new RegExp(
    `^tree ${short} \\(.*/team/thing:v1\\): found damaged at 2\\d{3}-.*Z: "model" has wrong bytes$`,
  );
  for (const command of ["verify", "verify --repair"]) {
    const { code, output } = await cache.run(command);
    assert.equal(code, 1, `${command}: ${output}`);
    assert.match(output, new RegExp(says.source, "m"));
    assert.match(
      output,
      /^damaged trees are mended by the next publish that may fetch, or by oras-csi pull --data-dir$/m,
    );
    assert.match(output, /: 1 fault\n$/);
    assert.doesNotMatch(output, /as it should be|cannot be verified/);
    const printed = await cache.run(command, "--json");
    const { faults, left } = JSON.parse(printed.output);
    assert.deepEqual([printed.code, faults.length, faults[0]?.kind, faults[0]?.tree], [1, 1, "tree", tree?.id]);
    assert.match(faults[0]?.says, says);
    assert.equal(left.length, command === "verify" ? 0 : 1);
  }

  if (isStopped) await sandbox.startDriver();
  const pull = ["pull", "--plain-http", `--data-dir=${sandbox.dataDir}`, area.reference];
  assert.equal((await runProgram(pull)).code, 0);
  for (const volume of [shared, own]) assert.equal(readIn(volume, "model"), MODEL);
  if (isStopped) await sandbox.driver.stop();
  for (const command of ["verify", "verify --repair"] as const) {
    const { code, output } = await cache.run(command);
    assert.equal(code, 0, output);
    assert.match(output, /: all as it should be\n$/);
    assert.deepEqual((await cache.json(command)).faults, []);
  }
}

test("a tree whose folder somebody removed is told, and made anew from what the cache has", REAL, async () => {
  await using area = await useVolumes();
  const { cache, sandbox, shared, own } = area;
  for (const volume of [shared, own]) await volume.unpublish();
  const [tree] = await cache.json("ls");
  const folder = join(sandbox.dataDir, "trees", tree?.id ?? "");
  rmSync(folder, { recursive: true });
  const { code, output } = await cache.run("verify");
  assert.equal(code, 1);
  assert.match(output, /^tree [0-9a-f]{12} \(.*\): its folder is gone$/m);
  const repaired = await cache.json("verify --repair");
  assert.deepEqual([repaired.mended, repaired.left, repaired.faults], [[tree?.id], [], []]);
  assert.equal(readFileSync(join(folder, "model"), "utf8"), MODEL);
  assert.equal((await cache.run("verify")).code, 0);
});

test("what a pod wrote before a reboot is shown over the right files again", REAL, async () => {
  await using area = await useVolumes();
  const { own, cache, registry } = area;
  writeFileSync(join(own.targetPath, "written"), "by the pod");
  flipByte(area.blob);
  assert.equal((await cache.run("verify")).code, 1);
  unmountBelow(own.targetPath);
  await own.publish();
  assert.equal(readIn(own, "model"), MODEL);
  assert.equal(readIn(own, "written"), "by the pod");
  assert.deepEqual(await own.health(), []);
  assert.equal(registry.log.blobGets().length, 1);
});

test(
  "what somebody removed from the cache is there again after the next publish; pods that run keep theirs",
  REAL,
  async () => {
    await using area = await useVolumes();
    const { sandbox, shared } = area;
    for (const folder of ["blobs", "layers", "tmp", "references", "names", "ingest"]) {
      rmSync(join(sandbox.dataDir, folder), { recursive: true });
    }
    const second = area.volume(true);
    await second.publish();
    for (const volume of [shared, second]) {
      assert.equal(readIn(volume, "model"), MODEL);
      assert.equal(readIn(volume, "conf/b"), "content b");
    }
    await area.volume(false).publish();
    rmSync(join(sandbox.dataDir, "trees"), { recursive: true });
    assert.equal((await shared.health())[0]?.reason, "TreeMissing");
    const third = area.volume(true);
    await third.publish();
    assert.equal(readIn(third, "model"), MODEL);
    await shared.publish();
    for (const volume of [shared, second, third]) await volume.unpublish();
  },
);

test("state files that cannot be read are reported and made anew; what is published stays so", REAL, async () => {
  await using area = await useVolumes();
  const { sandbox, shared, own, cache } = area;
  await sandbox.driver.stop();
  const records = await sandbox.dataNames("volumes");
  const trees = (await sandbox.dataNames("trees")).filter((name) => name.endsWith(".json"));
  const paths = [
    "format.json",
    ...records.filter((name) => name.endsWith(".json")).map((name) => `volumes/${name}`),
    ...trees.map((name) => `trees/${name}`),
  ];
  assert.equal(paths.length, 4);
  for (const path of paths) writeFileSync(join(sandbox.dataDir, path), "{ not JSON");
  const driver = await sandbox.startDriver();
  const listed = await cache.json("ls --volumes");
  assert.deepEqual(
    listed.map(({ tree, readOnly }) => [`${tree}.json`, readOnly]).sort(),
    [true, false].map((readOnly) => [trees[0], readOnly]).sort(),
    "records are made anew from what is mounted",
  );
  for (const volume of [shared, own]) {
    await volume.publish();
    assert.equal(readIn(volume, "model"), MODEL, "a mount is never taken away from a pod");
  }
  const another = area.volume(true);
  await another.publish();
  assert.equal(readIn(another, "model"), MODEL);
  for (const path of paths) await driver.said(new RegExp(`/${path}`));
  assert.equal(area.registry.log.blobGets().length, 0, "the bytes are all there");
  assert.equal((await cache.run("verify")).code, 0);
  for (const volume of [shared, own, another]) await volume.unpublish();
  assert.deepEqual(await sandbox.dataNames("volumes"), []);
});
