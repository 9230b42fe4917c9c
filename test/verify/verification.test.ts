import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type TarFields, tarOf } from "../fixtures/tar-builder.ts";
import { useSmallDisk, whyNoSmallDisk } from "../helpers/small-disk.ts";
import {
  artifact,
  type BuiltLayer,
  configuredArtifact,
  fileLayer,
  folderLayer,
  layer as layerOfBytes,
} from "../registry/index.ts";
import { flipByte, movedAside, useVerifier } from "./verify-bench.ts";

const noDisk = whyNoSmallDisk();
const CONTENT = "m".repeat(1000);
const hexOf = ({ digest }: BuiltLayer) => digest.slice("sha256:".length);
const blobOf = (dataDir: string, one: BuiltLayer) => join(dataDir, "blobs/sha256", hexOf(one));
const layerOf = (dataDir: string, one: BuiltLayer) => join(dataDir, "layers/sha256", `${hexOf(one)}.artifact`);

/** Two artifacts: both have `shared` and the folder, each a file of its own. */
async function useTwo() {
  const area = await useVerifier();
  const shared = fileLayer("model", CONTENT);
  const folder = await folderLayer("conf", { "sub/a": "content a", b: "content b" });
  await area.push(artifact([shared, folder, fileLayer("one", "1")]), "v1");
  await area.push(artifact([shared, folder, fileLayer("two", "2")]), "v2");
  const trees = [await area.present("v1"), await area.present("v2")] as const;
  area.registry.log.clear();
  return { ...area, shared, folder, trees };
}

test("a cache that is whole: everything is read, nothing is said", async () => {
  await using area = await useTwo();
  assert.deepEqual(await area.verify(), []);
  const { bytes, ...counts } = await area.counts();
  assert.deepEqual(counts, { blobs: 5, layers: 1, olderLayers: 0, trees: 2, unknownFiles: 0 });
  assert.ok(bytes > 1000 && bytes < 6000, `each byte is read once: ${bytes}`);
});

test("what is fetched anew before the verification is over is not moved aside", async () => {
  await using area = await useVerifier();
  const layers = [fileLayer("one", "1"), fileLayer("two", "2")];
  await area.push(artifact(layers), "v1");
  await area.present("v1");
  const paths = layers.map((one) => blobOf(area.dataDir, one));
  for (const path of paths) flipByte(path);
  const fetched = paths.map((_, at) => join(area.folder, `fetched ${at}`));
  for (const [at, path] of fetched.entries()) writeFileSync(path, String(at + 1));
  // When the first one is told of it has been moved already: it is the other one that came anew.
  area.lines.push = (...lines: string[]) => {
    for (const [at, path] of paths.entries())
      if (existsSync(path) && existsSync(fetched[at] ?? "")) renameSync(fetched[at] ?? "", path);
    return lines.length;
  };
  assert.equal((await area.verify(true)).length, 3);
  const left = paths.map((path) => existsSync(path) && readFileSync(path, "utf8"));
  assert.ok(left.includes(false) && (left.includes("1") || left.includes("2")), String(left));
});

test("a mark goes when what was wrong is right again, whoever mended it, and stays while anything is wrong", async () => {
  await using area = await useTwo();
  const [first, second] = area.trees;
  const damageOf = async ({ id }: typeof first) => (await area.cache.trees.find(id))?.damage;
  const shared = blobOf(area.dataDir, area.shared);
  const own = join(second.folder, "two");
  for (const path of [shared, own]) flipByte(path);
  await area.verify();
  // As somebody does who restores a disk from a copy.
  flipByte(shared);
  assert.match((await damageOf(first)) ?? "", /wrong bytes/);
  assert.equal((await area.verify()).length, 2);
  assert.equal(await damageOf(first), undefined);
  assert.match((await damageOf(second)) ?? "", /"two" has wrong bytes/);
  flipByte(own);
  assert.deepEqual(await area.verify(), []);
  assert.equal(await damageOf(second), undefined);
  assert.equal(area.registry.log.blobGets().length, 0);
});

test("a tree that is mended while it is verified is not marked", async () => {
  await using area = await useTwo();
  const [first, second] = area.trees;
  flipByte(blobOf(area.dataDir, area.shared));
  await area.verify();
  // The worker has found all faults when the first of them is logged, and notes the trees' after that.
  let mending: Promise<unknown> | undefined;
  const { leases } = area.cache;
  const hold = leases.hold.bind(leases);
  leases.hold = async (name) => {
    if (mending === undefined && name === first.id) {
      mending = Promise.resolve();
      await area.present("v1");
      await area.artifacts.mendAll(new AbortController().signal);
    }
    return hold(name);
  };
  assert.equal((await area.verify()).length, 1, "the blob was wrong");
  for (const { id } of [first, second]) assert.equal((await area.cache.trees.find(id))?.damage, undefined);
});

for (const movesAside of [false, true]) {
  test(`a flipped byte of a blob (moved aside: ${movesAside}): found, marked, fetched once, mended everywhere`, async () => {
    await using area = await useTwo();
    const blob = blobOf(area.dataDir, area.shared);
    flipByte(blob);
    const roots = area.trees.map(({ folder }) => statSync(folder).ino);
    const found = await area.verify(movesAside);
    assert.equal(found.length, 3);
    assert.match(found[0] ?? "", /^blob sha256:.* has other bytes than its digest says$/);
    for (const says of found.slice(1)) assert.match(says, /^tree .*: "model" has wrong bytes$/);
    assert.equal(existsSync(blob), !movesAside);
    assert.equal(movedAside(area.dataDir).length, movesAside ? 1 : 0);
    for (const { id } of area.trees) assert.match((await area.cache.trees.find(id))?.damage ?? "", /wrong bytes/);

    const tree = await area.present("v1");
    assert.equal(tree.damage, undefined);
    await area.artifacts.mendAll(new AbortController().signal);
    for (const [at, { id, folder }] of area.trees.entries()) {
      assert.equal((await area.cache.trees.find(id))?.damage, undefined);
      assert.equal(readFileSync(join(folder, "model"), "utf8"), CONTENT);
      assert.equal(statSync(join(folder, "model")).ino, statSync(blob).ino, "still one copy");
      assert.equal(statSync(folder).ino, roots[at], "pods have this folder mounted");
    }
    assert.equal(area.registry.log.blobGets().length, 1);
    assert.deepEqual(await area.verify(), []);
  });

  test(`a flipped byte in an unpacked layer (moved aside: ${movesAside}): found, marked, fetched once, mended`, async () => {
    await using area = await useTwo();
    const layer = layerOf(area.dataDir, area.folder);
    flipByte(join(layer, "conf/sub/a"));
    const found = await area.verify(movesAside);
    assert.match(found[0] ?? "", /^the unpacked layer sha256:.* is wrong: "conf\/sub\/a" has other bytes/);
    for (const says of found.slice(1)) assert.match(says, /^tree .*: "conf\/sub\/a" has wrong bytes$/);
    assert.equal(found.length, 3);
    assert.equal(existsSync(join(layer, "conf/sub/a")), !movesAside);
    await area.present("v2");
    await area.artifacts.mendAll(new AbortController().signal);
    for (const { id, folder } of area.trees) {
      assert.equal((await area.cache.trees.find(id))?.damage, undefined);
      assert.equal(readFileSync(join(folder, "conf/sub/a"), "utf8"), "content a");
      assert.equal(statSync(join(folder, "conf/b")).ino, statSync(join(layer, "conf/b")).ino, "still one copy");
    }
    assert.equal(area.registry.log.blobGets().length, 1);
    assert.deepEqual(await area.verify(), []);
  });
}

test("bytes that went bad on the disk, below what is in memory of them, are found and mended", {
  skip: noDisk,
}, async () => {
  using disk = useSmallDisk({ type: "ext4", sizeBytes: 64 * 1024 * 1024 });
  await using area = await useVerifier({ parent: disk.path });
  const [ofFile, ofFolder] = [randomBytes(500).toString("hex"), randomBytes(500).toString("hex")];
  await area.push(artifact([fileLayer("model", ofFile), await folderLayer("conf", { a: ofFolder })]), "v1");
  const { folder } = await area.present("v1");
  const shown = () => ["model", "conf/a"].map((path) => readFileSync(join(folder, path), "utf8"));
  area.registry.log.clear();
  for (const content of [ofFile, ofFolder]) disk.flip(content);
  assert.deepEqual(shown(), [ofFile, ofFolder], "pods see what is in memory");
  const found = await area.verify();
  assert.match(found[0] ?? "", /^blob sha256:.* has other bytes/);
  assert.match(found[1] ?? "", /^the unpacked layer .* is wrong: "conf\/a" has other bytes/);
  assert.match(found[2] ?? "", /^tree .* and 1 more have wrong bytes$/);
  await area.present("v1");
  assert.deepEqual(shown(), [ofFile, ofFolder]);
  assert.equal(area.registry.log.blobGets().length, 2);
  assert.deepEqual(await area.verify(), []);
});

test("with policy Never nothing is fetched for a damaged tree, and it is not handed out either", async () => {
  await using area = await useTwo();
  flipByte(blobOf(area.dataDir, area.shared));
  await area.verify();
  await assert.rejects(area.present("v1", "Never"), /not whole, in this node's cache/);
  assert.equal(area.registry.log.blobGets().length, 0);
});

test("what is wrong in a tree alone is mended from the cache, without a registry", async () => {
  await using area = await useTwo();
  const [{ id, folder }] = area.trees;
  rmSync(join(folder, "conf/sub"), { recursive: true });
  copyFileSync(join(folder, "model"), join(folder, "copy"));
  renameSync(join(folder, "copy"), join(folder, "model"));
  flipByte(join(folder, "model"));
  writeFileSync(join(folder, "conf/new"), "who put this here?");
  rmSync(join(folder, "one"));
  const [says = "", ...others] = await area.verify();
  assert.deepEqual(others, []);
  const wrong = '"model" has wrong bytes; "(?:one|conf/sub)" and 1 more are missing; "conf/new" should not be there';
  assert.match(says, new RegExp(`^tree [0-9a-f]{12} \\(.*:v1\\): ${wrong}$`));
  await area.registry.close();
  const report = await area.artifacts.mendAll(new AbortController().signal);
  assert.deepEqual(report, { mended: [id], left: [] });
  assert.deepEqual(await area.verify(), []);
  assert.equal(readFileSync(join(folder, "conf/sub/a"), "utf8"), "content a");
  assert.equal(existsSync(join(folder, "conf/new")), false);
});

test("a file with another mode than its blob, which is a copy, is read and mended like the others", async () => {
  await using area = await useVerifier();
  const program = layerOfBytes(Buffer.from(CONTENT), "x/program", {
    "org.opencontainers.image.title": "run",
    "org.cncf.model.file.metadata+json": '{"mode":493}',
  });
  await area.push(artifact([program]), "v1");
  const { id, folder } = await area.present("v1");
  const path = join(folder, "run");
  assert.notEqual(statSync(path).ino, statSync(blobOf(area.dataDir, program)).ino);
  assert.deepEqual(await area.verify(), []);
  flipByte(path);
  assert.match((await area.verify())[0] ?? "", /^tree .*: "run" has wrong bytes$/);
  await area.artifacts.mendAll(new AbortController().signal);
  assert.equal((await area.cache.trees.find(id))?.damage, undefined);
  assert.deepEqual([readFileSync(path, "utf8"), statSync(path).mode & 0o7777], [CONTENT, 0o755]);
  assert.deepEqual(await area.verify(), []);
});

test("what was moved aside is counted once no tree shows it, and goes with a prune", async () => {
  await using area = await useVerifier();
  const model = fileLayer("model", "m".repeat(100_000));
  await area.push(artifact([model]), "v1");
  const { folder } = await area.present("v1");
  flipByte(blobOf(area.dataDir, model));
  await area.verify(true);
  const { collector, layout } = area.cache;
  assert.equal((await area.measure("damaged")).inodes, 0);
  assert.equal((await collector.usage()).damaged.bytes, 0, "to delete it frees nothing");
  await area.present("v1");
  const { bytes, inodes } = await area.measure("damaged");
  assert.ok(inodes === 1 && bytes >= 100_000 && bytes < 200_000, `${bytes} bytes`);
  assert.equal((await collector.usage()).damaged.bytes, bytes);
  writeFileSync(join(layout.tmp, "x"), "");
  const other = await area.measure("other");
  assert.ok(other.bytes < 100_000, `counted twice: ${other.bytes}`);
  using _ = await area.cache.leases.hold((await area.cache.trees.ids())[0] ?? assert.fail());
  assert.ok((await collector.prune()).bytes >= bytes);
  assert.deepEqual(movedAside(area.dataDir), []);
  assert.equal(readFileSync(join(folder, "model"), "latin1").length, 100_000);
});

test("a tree that lacks something which the cache lacks, too, stays damaged and says what", async () => {
  await using area = await useTwo();
  flipByte(blobOf(area.dataDir, area.shared));
  await area.verify(true);
  const { mended, left } = await area.artifacts.mendAll(new AbortController().signal);
  assert.deepEqual(mended, []);
  assert.equal(left.length, 2);
  for (const { why } of left) assert.match(why, /layer sha256:.* is not, or not whole, in this node's cache/);
});

test("what somebody removed heals with the next publish", async () => {
  await using area = await useTwo();
  const [{ folder }] = area.trees;
  for (const path of ["blobs/sha256", "layers/sha256"]) rmSync(join(area.dataDir, path), { recursive: true });
  rmSync(folder, { recursive: true });
  const tree = await area.present("v1", "Always");
  assert.equal(readFileSync(join(tree.folder, "model"), "utf8"), CONTENT);
  assert.equal(readFileSync(join(tree.folder, "conf/b"), "utf8"), "content b");
});

test("without the layers nothing says what a tree's own files should be: it is not called damaged", async () => {
  await using area = await useTwo();
  for (const layer of [area.shared]) rmSync(blobOf(area.dataDir, layer));
  rmSync(layerOf(area.dataDir, area.folder), { recursive: true });
  rmSync(`${layerOf(area.dataDir, area.folder)}.index`);
  assert.deepEqual(await area.verify(), []);
  assert.ok((await area.counts()).unknownFiles > 0);
});

test("a layer that an older driver unpacked is no fault, and is fetched anew when it is needed", async () => {
  await using area = await useTwo();
  const [{ id }] = area.trees;
  const index = `${layerOf(area.dataDir, area.folder)}.index`;
  const bytes = readFileSync(index);
  writeFileSync(index, Buffer.concat([Buffer.from("orasidx\x01", "latin1"), bytes.subarray(8)]));
  assert.deepEqual(await area.verify(true), []);
  const { layers, olderLayers } = await area.counts();
  assert.deepEqual([layers, olderLayers, area.registry.log.blobGets().length], [0, 1, 0]);
  await area.cache.collector.evict(id, "removed");
  const tree = await area.present("v1");
  assert.equal(readFileSync(join(tree.folder, "conf/b"), "utf8"), "content b");
  assert.ok(area.registry.log.blobGets().some(({ path }) => path.includes(area.folder.digest)));
  assert.equal((await area.counts()).olderLayers, 0);
});

test("a blob that somebody cut short is noticed by the next publish, without any verification", async () => {
  await using area = await useTwo();
  truncateSync(blobOf(area.dataDir, area.shared), 10);
  const tree = await area.present("v1");
  assert.equal(readFileSync(join(tree.folder, "model"), "utf8"), CONTENT);
});

test("an image of several layers is read and mended like artifacts; what its layers hide is no fault", async () => {
  await using area = await useVerifier();
  const packed = (...entries: readonly TarFields[]) =>
    layerOfBytes(tarOf(...entries), "application/vnd.oci.image.layer.v1.tar");
  const config = Buffer.from(JSON.stringify({ architecture: "amd64", os: "linux" }));
  const base = packed(
    { name: "bin/tool", data: "tool", mode: 0o755, uid: 3 },
    { name: "etc/old", data: "old" },
    { name: "opt/a", data: "hidden" },
    { name: "link", type: "2", linkName: "bin/tool" },
  );
  const upper = packed(
    { name: "bin/other", type: "1", linkName: "bin/tool" },
    { name: "etc/.wh.old" },
    { name: "opt/.wh..wh..opq" },
    { name: "opt/b", data: "shown" },
  );
  await area.push(
    configuredArtifact(layerOfBytes(config, "application/vnd.oci.image.config.v1+json"), [base, upper]),
    "image",
  );
  const { id, folder } = await area.present("image");
  assert.deepEqual(await area.verify(), []);
  assert.equal((await area.counts()).layers, 2);
  area.registry.log.clear();
  flipByte(join(area.dataDir, "layers/sha256", `${hexOf(base)}.image/bin/tool`));
  const found = await area.verify(true);
  assert.match(found[0] ?? "", /^the unpacked layer sha256:.* is wrong: "bin\/tool" has other bytes/);
  assert.match(found[1] ?? "", /^tree .*: "bin\/[a-z]+" and 1 more have wrong bytes$/);
  assert.equal((await area.present("image")).damage, undefined);
  for (const name of ["bin/tool", "bin/other", "link"]) assert.equal(readFileSync(join(folder, name), "utf8"), "tool");
  assert.equal((await area.cache.trees.find(id))?.damage, undefined);
  assert.equal(area.registry.log.blobGets().length, 1);
  assert.deepEqual(await area.verify(), []);
});

test("state files that cannot be read are told, and made anew by the next publish", async () => {
  await using area = await useTwo();
  const [{ id }] = area.trees;
  const references = join(area.dataDir, "references");
  const tags = readdirSync(references, { recursive: true, encoding: "utf8" }).filter((path) =>
    /tags\/.*json$/.test(path),
  );
  assert.equal(tags.length, 2);
  for (const path of [`trees/${id}.json`, `references/${tags[0]}`]) writeFileSync(join(area.dataDir, path), "{");
  const found = await area.verify();
  assert.deepEqual(found.map((says) => says.replace(/ .*/, "")).sort(), [`references/${tags[0]}`, `trees/${id}.json`]);
  for (const tag of ["v1", "v2"]) assert.equal((await area.present(tag)).damage, undefined);
  assert.equal(area.registry.log.blobGets().length, 0);
  assert.deepEqual(await area.verify(), []);
});

test("state files that go before they are read are no faults", async () => {
  await using area = await useTwo();
  const { state } = area.cache.dataDir;
  const read = state.read.bind(state);
  const gone: string[] = [];
  state.read = async (path, ...rest) => {
    rmSync(path, { force: true });
    gone.push(path);
    return read(path, ...rest);
  };
  assert.deepEqual(await area.verify(), []);
  for (const what of [/\/trees\/[0-9a-f]+\.json$/, /\/tags\//, /\/namespaces\//])
    assert.ok(
      gone.some((path) => what.test(path)),
      String(what),
    );
});

test("pulls and removals that go on meanwhile are no faults", async () => {
  await using area = await useVerifier();
  const shared = await folderLayer(
    "conf",
    Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`f${i}`, `${i}`])),
  );
  const tags = Array.from({ length: 6 }, (_, i) => `v${i}`);
  for (const tag of tags) await area.push(artifact([shared, fileLayer("own", tag.repeat(50_000))]), tag);
  let verifying = true;
  const change = async (tag: string) => {
    while (verifying) {
      const { id } = await area.present(tag);
      await area.cache.collector.evict(id, "removed");
    }
  };
  const changing = Promise.all(tags.map(change));
  try {
    for (let round = 0; round < 8; round++) assert.deepEqual(await area.verify(round % 2 === 1), []);
  } finally {
    verifying = false;
    await changing;
  }
});
