import assert from "node:assert/strict";
import { existsSync, lstatSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runProgram, Sandbox } from "../driver/index.ts";
import { attributes, pushThing, REAL } from "../integration/support.ts";
import { artifact, EmbeddedRegistry, fileLayer, folderLayer } from "../registry/index.ts";
import { CacheCommand } from "./support.ts";

const SIZE = 100_000;

/** A driver with two trees: one shown by a read-only and a writable volume, one by none. */
async function useCache(options: { readonly isStopped: boolean }) {
  const registry = await EmbeddedRegistry.start();
  const shared = fileLayer("model", "m".repeat(SIZE));
  const used = artifact([shared, await folderLayer("conf", { a: "a".repeat(SIZE) })]);
  const unused = artifact([shared, fileLayer("more", "x".repeat(SIZE))]);
  const [usedReference, unusedReference] = [
    await pushThing(registry, used, "used"),
    await pushThing(registry, unused, "unused"),
  ];
  const sandbox = await Sandbox.start();
  const publish = async (reference: string, podName: string, readOnly: boolean) => {
    const spec = { attributes: attributes(reference), readOnly, namespace: "prod", podName };
    const volume = sandbox.kubelet.volume(spec);
    await volume.publish();
    return volume;
  };
  const volumes = [await publish(usedReference, "web-0", true), await publish(usedReference, "web-1", false)] as const;
  await (await publish(unusedReference, "gone", true)).unpublish();
  writeFileSync(join(volumes[1].targetPath, "written"), Buffer.alloc(2 * SIZE, "w"));
  if (options.isStopped) await sandbox.driver.stop();
  writeFileSync(
    join(sandbox.dataDir, "ingest", `sha256-${"a".repeat(64)}-${"b".repeat(64)}`),
    Buffer.alloc(3 * SIZE, "d"),
  );
  const cache = new CacheCommand(sandbox.dataDir);
  return {
    sandbox,
    cache,
    volumes,
    used: { reference: usedReference, digest: used.digest },
    unused: { reference: unusedReference, digest: unused.digest },
    async [Symbol.asyncDispose]() {
      await sandbox[Symbol.asyncDispose]();
      await registry[Symbol.asyncDispose]();
    },
  };
}

type Area = Awaited<ReturnType<typeof useCache>>;

async function listsWhatIsThere({ cache, used, unused, volumes }: Area): Promise<void> {
  const trees = await cache.json("ls");
  const shown = trees.map(({ references, manifest, volumes: count, leases, pinned, damage }) => {
    return { references, manifest, count, leases, pinned, damage };
  });
  const common = { pinned: false, damage: null };
  assert.deepEqual(
    shown.sort((one, other) => other.count - one.count),
    [
      { references: [used.reference], manifest: used.digest, count: 2, leases: 2, ...common },
      { references: [unused.reference], manifest: unused.digest, count: 0, leases: 0, ...common },
    ],
  );
  for (const { sizeBytes, createdAt, lastUsedAt } of trees) {
    assert.equal(sizeBytes, 2 * SIZE);
    assert.ok(createdAt !== null && Math.abs(Date.now() - Date.parse(createdAt)) < 600_000);
    assert.ok(Math.abs(Date.now() - Date.parse(lastUsedAt)) < 600_000);
  }
  const listed = await cache.json("ls --volumes");
  assert.deepEqual(
    listed.map(({ tree: _, ...volume }) => volume),
    volumes.map(({ volumeId, targetPath }, at) => {
      const { reference, digest: manifest } = used;
      return { volumeId, namespace: "prod", pod: `web-${at}`, reference, manifest, readOnly: at === 0, targetPath };
    }),
  );
  const { code, output } = await cache.run("ls");
  assert.equal(code, 0);
  const digest = used.digest.slice(0, 19);
  assert.match(output, /^TREE +REFERENCE +DIGEST +SIZE +AGE +LAST USE +VOLUMES +NOTES\n/);
  assert.match(output, new RegExp(`^[0-9a-f]{12} +${used.reference} +${digest} +200 kB +\\d+[sm] +\\d+[sm] +2$`, "m"));
  assert.match(
    (await cache.run("ls --volumes")).output,
    new RegExp(`^prod +web-1 +${used.reference} .* writable `, "m"),
  );
}

async function countsAllOnce({ cache }: Area): Promise<void> {
  const { kinds, total } = await cache.json("du");
  const bytesOf = new Map(kinds.map(({ kind, bytes }) => [kind, bytes]));
  const isAbout = (kind: "blobs" | "layers" | "trees" | "uppers" | "partials", bytes: number) => {
    const found = bytesOf.get(kind) ?? 0;
    assert.ok(found >= bytes && found < bytes + 70_000, `${kind}: ${found}`);
  };
  isAbout("blobs", 2 * SIZE);
  isAbout("layers", SIZE);
  isAbout("trees", 0);
  isAbout("uppers", 2 * SIZE);
  isAbout("partials", 3 * SIZE);
  assert.equal(
    total.bytes,
    [...bytesOf.values()].reduce((sum, bytes) => sum + bytes),
  );
  const { output } = await cache.run("du");
  assert.match(output, /^blobs +2\d\d kB +\d+\n/m);
  assert.match(output, /^file system: [\d.]+ \w+ of [\d.]+ \w+ available$/m);
}

async function keepsWhatIsInUse({ cache, used, unused }: Area): Promise<void> {
  const [inUse] = await cache.json("rm", used.reference);
  assert.equal(inUse?.outcome, "leased");
  assert.deepEqual([...(inUse?.holders ?? [])].sort(), ["prod/web-0", "prod/web-1"]);
  const refused = await cache.run("rm", used.digest);
  assert.equal(refused.code, 1);
  assert.match(refused.output, /^kept [0-9a-f]{12} \(.*:used\): in use by prod\/web-[01], prod\/web-[01]\n$/);
  assert.match((await cache.run("pin", unused.reference)).output, /^pinned [0-9a-f]{12} \(.*:unused\)\n$/);
  assert.equal((await cache.json("rm", unused.digest))[0]?.outcome, "pinned");
  assert.equal((await cache.json("prune")).trees, 0);
  assert.equal((await cache.run("unpin", unused.digest.slice(0, 20))).code, 0);
}

async function removesTheRest({ cache, used, unused, sandbox, volumes }: Area): Promise<void> {
  assert.equal((await cache.json("prune", "--older-than=1h")).trees, 0);
  const removed = await cache.run("rm", unused.reference);
  assert.deepEqual([removed.code, removed.error], [0, ""]);
  assert.match(removed.output, /^removed [0-9a-f]{12} \(.*:unused\), 1\d\d kB\n$/);
  assert.match((await cache.run("prune", "--all")).output, /^removed 0 trees, .*; 1 tree is left\n$/);
  assert.deepEqual(
    (await cache.json("ls")).map(({ manifest }) => manifest),
    [used.digest],
  );
  assert.equal((await sandbox.dataNames("trees")).filter((name) => /^[0-9a-f]{64}$/.test(name)).length, 1);
  assert.equal(lstatSync(join(volumes[0].targetPath, "model")).size, SIZE);
  assert.equal((await cache.run("rm", unused.reference)).code, 1);
  assert.equal((await cache.run("rm")).code, 2);
}

for (const isStopped of [false, true]) {
  const where = isStopped ? "alone, under the lock" : "beside a running driver";
  test(`a cache is administered ${where}`, REAL, async (t) => {
    await using area = await useCache({ isStopped });
    await t.test("ls and ls --volumes name what is there", () => listsWhatIsThere(area));
    await t.test("du counts each byte once, what pods wrote and unfinished downloads, too", () => countsAllOnce(area));
    await t.test("what volumes have or people pinned is not removed", () => keepsWhatIsInUse(area));
    await t.test("rm and prune take the rest", () => removesTheRest(area));
  });
}

test("the socket of a driver that was killed is no obstacle, nor is a data dir with a long path", REAL, async () => {
  await using sandbox = await Sandbox.create();
  const dataDir = join(sandbox.folder, "d".repeat(120), "data");
  const cache = new CacheCommand(dataDir);
  for (let round = 0; round < 2; round++) {
    const driver = sandbox.launchDriver({ dataDir });
    await driver.ready();
    assert.equal((await cache.run("pin", "abcdef")).code, 1);
    await driver.said(/administration failed/);
    assert.equal(lstatSync(join(dataDir, "admin.sock")).mode & 0o777, 0o600);
    await driver.stop("SIGKILL");
    assert.deepEqual(await cache.json("ls"), []);
  }
  const driver = sandbox.launchDriver({ dataDir });
  await driver.ready();
  await driver.stop();
  assert.equal(existsSync(join(dataDir, "admin.sock")), false);
});

test("somebody else's folder is left as it is, also by a driver", REAL, async () => {
  await using sandbox = await Sandbox.create();
  const folder = join(sandbox.folder, "home");
  mkdirSync(join(folder, "tmp"), { recursive: true, mode: 0o755 });
  writeFileSync(join(folder, "tmp/precious"), "x");
  const listed = await new CacheCommand(folder).run("ls");
  const pulled = await runProgram(["pull", `--data-dir=${folder}`, "localhost:1/a"]);
  const says = `oras-csi: ${folder} is no data dir of oras-csi, "tmp" is in it: see --data-dir\n`;
  for (const { code, error } of [listed, pulled]) assert.deepEqual([code, error], [1, says]);
  const served = await runProgram(["serve", `--csi-endpoint=${folder}/csi.sock`, `--data-dir=${folder}`]);
  assert.equal(served.code, 1);
  assert.match(served.error, /is no data dir of oras-csi, and what is in its tmp would be deleted: see --data-dir\n$/);
  assert.deepEqual([readdirSync(folder), readdirSync(join(folder, "tmp"))], [["tmp"], ["precious"]]);
  assert.equal(statSync(folder).mode & 0o777, 0o755);
});

test("without a data dir nothing is made", REAL, async () => {
  await using sandbox = await Sandbox.create();
  const { code, error } = await new CacheCommand(join(sandbox.folder, "none")).run("ls");
  assert.deepEqual([code, error], [1, `oras-csi: there is no data dir ${sandbox.folder}/none: see --data-dir\n`]);
  assert.equal(existsSync(join(sandbox.folder, "none")), false);
});
