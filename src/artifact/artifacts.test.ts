import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, realpathSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { chart, hold, turns, useArtifacts } from "../../test/helpers/artifacts-bench.ts";
import { artifact, fileLayer, folderLayer, layer } from "../../test/registry/index.ts";
import { systemClock } from "../base/index.ts";
import { Cache } from "../cache/index.ts";
import { parseDigest } from "../oci/index.ts";

test("a registry that takes its time over what names files keeps no other pull waiting", async () => {
  await using used = await useArtifacts();
  const charts = ["one", "two"];
  for (const name of charts) await used.pushThing(chart(name).manifest, `charts/${name}`);
  await used.pushThing(artifact([fileLayer("a", "1")]));
  const gate = Promise.withResolvers<void>();
  used.registry.fault = ({ path }) =>
    /charts.*blobs/.test(path) ? { kind: "hold", afterBytes: 0, until: gate.promise } : undefined;
  const held = charts.map((name) => used.registry.log.waitFor(({ path }) => path.includes(`charts/${name}/blobs`)));
  const waiting = charts.map((name) => used.present({ repository: `charts/${name}`, volume: name }));
  await Promise.all(held);
  assert.equal((await used.present()).bytes, 1);
  gate.resolve();
  for (const [at, tree] of (await Promise.all(waiting)).entries())
    assert.deepEqual(readdirSync(tree.folder), [`${charts[at]}.tgz`]);
});

test("an artifact is pulled once, found from then on, and named for people", async () => {
  await using used = await useArtifacts();
  await used.pushThing(artifact([fileLayer("a", "1"), await folderLayer("d", { x: "2" })]));
  const tree = await used.present();
  assert.deepEqual([tree.bytes, tree.inodes], [2, 4]);
  assert.equal(readFileSync(join(tree.folder, "d/x"), "utf8"), "2");
  const asked = used.registry.log.entries.length;
  assert.deepEqual(await used.present({ volume: "v2", policy: "Never" }), tree);
  assert.equal(used.registry.log.entries.length, asked);
  const [name] = readdirSync(join(used.area.cache.layout.names, "blue"));
  assert.equal(realpathSync(join(used.area.cache.layout.names, "blue", name ?? "")), realpathSync(tree.folder));
  assert.deepEqual(await used.halfMade(), []);
});

test("a file that is a copy, since its mode is its own, counts with its blob and goes with its tree", async () => {
  await using used = await useArtifacts();
  const program = layer(Buffer.alloc(40_960, "p"), "x/program", {
    "org.opencontainers.image.title": "run",
    "org.cncf.model.file.metadata+json": '{"mode":493}',
  });
  const again = { ...program, annotations: { ...program.annotations, "org.opencontainers.image.title": "too" } };
  await used.pushThing(artifact([program, again, fileLayer("a", "1")]));
  const { id } = await used.present();
  const { cache, dataDir, log } = used.area;
  const bytes = 2 * 40_960 + 2 * 4096;
  assert.equal((await cache.collector.usage()).blobs.bytes, bytes);
  const next = await Cache.open({ dataDir, syncFileSystem: undefined, clock: systemClock, log });
  assert.equal((await next.collector.usage()).blobs.bytes, bytes, "after a restart, too");
  await next.close();
  const { freed } = await cache.collector.evict(id, "removed");
  assert.equal(freed.bytes, bytes);
  assert.equal((await cache.collector.usage()).blobs.bytes, 0);
});

test("what a pull takes on disk is known without counting", async () => {
  await using used = await useArtifacts();
  const files = { x: "2", "sub/y": "z".repeat(5000) };
  await used.pushThing(artifact([fileLayer("a", "1"), await folderLayer("d", files)]));
  const { id } = await used.present();
  const { cache } = used.area;
  // The folder's own root, its title's and sub/ beside the two files; the layer's file and the manifest.
  const { layers, blobs } = await cache.collector.usage();
  assert.deepEqual(layers, { bytes: 3 * 4096, inodes: 5 });
  assert.deepEqual(blobs, { bytes: 2 * 4096, inodes: 2 });
  const noted = readdirSync(join(cache.layout.layers, "sha256")).filter((name) => name.endsWith(".use.json"));
  assert.equal(noted.length, 1);
  assert.equal((await cache.collector.evict(id, "removed")).freed.bytes, 5 * 4096);
  assert.deepEqual(
    ["blobs", "layers"].flatMap((name) => readdirSync(join(used.area.dataDir, name, "sha256"))),
    [],
  );
});

test("a filter makes a tree of its own, one that leaves nothing an empty one and a warning", async () => {
  await using used = await useArtifacts();
  await used.pushThing(artifact([fileLayer("a", "1", "x/one"), fileLayer("b", "2", "x/two")]));
  const all = await used.present();
  const some = await used.present({ selection: { mediaTypes: ["x/two"], titles: [] } });
  const none = await used.present({ selection: { mediaTypes: ["x/none"], titles: [] } });
  assert.deepEqual(
    [all, some, none].map(({ folder }) => readdirSync(folder)),
    [["a", "b"], ["b"], []],
  );
  assert.ok(used.area.lines.some((line) => line.includes("no layer is left")));
  assert.equal(used.registry.log.blobGets().length, 2);
});

test("two calls for a volume at once get the same, though one has it before the other knows what it needs", async () => {
  await using used = await useArtifacts();
  const { config, manifest } = chart("one");
  await used.pushThing(manifest, "charts/one");
  const gate = Promise.withResolvers<void>();
  let asked = 0;
  used.registry.fault = ({ path }) =>
    path.endsWith(config.digest) && ++asked === 2 ? { kind: "hold", afterBytes: 0, until: gate.promise } : undefined;
  const calls = [1, 2].map(() => used.present({ repository: "charts/one" }));
  const first = await Promise.race(calls);
  gate.resolve();
  assert.deepEqual(await Promise.all(calls), [first, first]);
});

test("one tree from two repositories at once is made once: what a volume shows is never replaced", async () => {
  await using used = await useArtifacts();
  const manifest = artifact([fileLayer("a", randomBytes(100_000))]);
  const repositories = ["team/one", "team/two"];
  for (const repository of repositories) await used.pushThing(manifest, repository);
  const pulls = repositories.map((repository) => used.present({ repository, volume: repository }));
  const [first, second] = await Promise.all(pulls);
  assert.ok(first !== undefined);
  assert.equal(first.folder, second?.folder);
  const inode = statSync(first.folder).ino;
  assert.equal(used.registry.log.blobGets().length, 2, "each repository proves that it has the bytes");
  await used.present({ repository: "team/two", volume: "v3" });
  assert.equal(statSync(first.folder).ino, inode);
  assert.deepEqual(await used.halfMade(), []);
});

test("a pull that waits for its turn holds no manifest, and says so if the cache has lost it meanwhile", async () => {
  await using used = await useArtifacts();
  const manifests = ["one", "two", "three"].map((name) => artifact([fileLayer("a", name)]));
  for (const [i, manifest] of manifests.entries()) await used.pushThing(manifest, `team/${i}`);
  const { release } = hold(used, "/blobs/", 1);
  const pull = (i: number) => used.present({ volume: `v${i}`, repository: `team/${i}` });
  const running = [pull(0), pull(1)];
  await used.registry.log.waitFor(({ path, bytesSent }) => path.includes("team/0/blobs") && bytesSent === 1);
  await used.registry.log.waitFor(({ path, bytesSent }) => path.includes("team/1/blobs") && bytesSent === 1);
  const waiting = assert.rejects(pull(2), { kind: "unavailable", message: /team\/2:v1: its manifest .* went from/ });
  while (!used.area.lines.some((line) => /"pull started".*team\/2|team\/2.*"pull started"/.test(line))) await turns();
  rmSync(used.area.cache.layout.blob(parseDigest(manifests[2]?.digest ?? "")));
  release();
  await waiting;
  await Promise.all(running);
  assert.equal(readFileSync(join((await pull(2)).folder, "a"), "utf8"), "three");
});
