import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { useDataDir } from "../../test/helpers/data-dir.ts";
import { watchDisk } from "../../test/helpers/disk-calls.ts";
import { digestOf } from "../oci/index.ts";
import type { Cache } from "./cache.ts";
import { hasLayer, type StagedLayer } from "./layers.ts";

const digest = digestOf(Buffer.from("a tar"));

/** A layer as an unpack worker leaves it in a staging folder. */
function stage(cache: Cache, content: string, way: StagedLayer["way"] = "artifact"): StagedLayer {
  const staging = join(cache.layout.tmp, `staging-${content}`);
  const staged = { digest, way, folder: join(staging, "layer"), indexFile: join(staging, "layer.index") };
  mkdirSync(join(staged.folder, "sub"), { recursive: true });
  writeFileSync(join(staged.folder, "sub", "file"), content);
  writeFileSync(staged.indexFile, `index of ${content}`);
  return staged;
}

function contentOf({ layout }: Cache, way: StagedLayer["way"] = "artifact") {
  const folder = layout.layerFolder(digest, way);
  return [readFileSync(join(folder, "sub/file"), "utf8"), readFileSync(layout.layerIndex(digest, way), "utf8")];
}

test("a staged layer becomes visible with its index, after the file system was synced", async (t) => {
  const area = useDataDir(t);
  const cache = await area.open();
  assert.equal(await hasLayer(cache.layout, digest, "artifact"), false);
  const staged = stage(cache, "one");
  await cache.commitLayer(staged);
  assert.deepEqual(area.synced, [staged.folder]);
  assert.equal(await hasLayer(cache.layout, digest, "artifact"), true);
  assert.deepEqual(contentOf(cache), ["one", "index of one"]);
});

test("the ways of unpacking are layers of their own", async (t) => {
  const cache = await useDataDir(t).open();
  await cache.commitLayer(stage(cache, "image", "image"));
  assert.equal(await hasLayer(cache.layout, digest, "artifact"), false);
  await cache.commitLayer(stage(cache, "artifact"));
  assert.deepEqual(contentOf(cache, "image"), ["image", "index of image"]);
  assert.deepEqual(contentOf(cache), ["artifact", "index of artifact"]);
});

test("a layer counts only with both folder and index", async (t) => {
  const cache = await useDataDir(t).open();
  const { layout } = cache;
  await cache.commitLayer(stage(cache, "one"));
  rmSync(layout.layerIndex(digest, "artifact"));
  assert.equal(await hasLayer(layout, digest, "artifact"), false);
  await cache.commitLayer(stage(cache, "two"));
  assert.deepEqual(contentOf(cache), ["two", "index of two"]);
  rmSync(layout.layerFolder(digest, "artifact"), { recursive: true });
  assert.equal(await hasLayer(layout, digest, "artifact"), false);
  await cache.commitLayer(stage(cache, "three"));
  assert.deepEqual(contentOf(cache), ["three", "index of three"]);
});

test("a layer counts only if its folder is one, and its index a file", async (t) => {
  const cache = await useDataDir(t).open();
  const { layout } = cache;
  const [folder, index] = [layout.layerFolder(digest, "artifact"), layout.layerIndex(digest, "artifact")];
  await cache.commitLayer(stage(cache, "one"));
  rmSync(index);
  mkdirSync(index);
  assert.equal(await hasLayer(layout, digest, "artifact"), false);
  await cache.commitLayer(stage(cache, "two"));
  rmSync(folder, { recursive: true });
  writeFileSync(folder, "x");
  assert.equal(await hasLayer(layout, digest, "artifact"), false);
  await cache.commitLayer(stage(cache, "three"));
  assert.deepEqual(contentOf(cache), ["three", "index of three"]);
});

test("what is replaced is deleted, nothing stays in tmp/", async (t) => {
  const cache = await useDataDir(t).open();
  for (const content of ["one", "two"]) {
    const staged = stage(cache, content);
    await cache.commitLayer(staged);
    await cache.sweeper.discard(join(staged.folder, ".."));
  }
  await cache.sweeper.idle();
  assert.deepEqual(readdirSync(cache.layout.tmp), []);
  assert.equal(readdirSync(join(cache.layout.layers, "sha256")).length, 2);
});

test("a sync that fails shows nothing", async (t) => {
  const cache = await useDataDir(t).open();
  const failing = { ...stage(cache, "one"), folder: join(cache.layout.tmp, "missing") };
  await assert.rejects(cache.commitLayer(failing), { code: "ENOENT" });
  assert.equal(await hasLayer(cache.layout, digest, "artifact"), false);
});

const fresh = [
  "rename layers/sha256/HEX.artifact.index -> tmp/gone-*",
  "rename layers/sha256/HEX.artifact -> tmp/gone-*",
  "rename tmp/staging-new/layer -> layers/sha256/HEX.artifact",
  "rename tmp/staging-new/layer.index -> layers/sha256/HEX.artifact.index",
  "sync layers/sha256",
];

test("the index is the first to go and the last to come", async (t) => {
  const cache = await useDataDir(t).open();
  const staged = stage(cache, "new");
  const disk = watchDisk(t, cache.layout.dataDir);
  await cache.commitLayer(staged);
  assert.deepEqual(
    disk.calls,
    fresh.map((call) => call.replaceAll("HEX", digest.slice(7, 11))),
  );
});

for (const old of ["nothing", "a layer"]) {
  for (let step = 0; step < fresh.length; step++) {
    test(`a kill at step ${step} of a commit over ${old} leaves the layer whole or absent`, async (t) => {
      const area = useDataDir(t);
      const first = await area.open();
      if (old === "a layer") await first.commitLayer(stage(first, "old"));
      const staged = stage(first, "new");
      await first.close();
      const disk = watchDisk(t, first.layout.dataDir, step);
      await assert.rejects(first.commitLayer(staged), /killed/);
      disk.stop();
      const second = await area.open();
      if (await hasLayer(second.layout, digest, "artifact")) {
        const content = step < 4 ? "old" : "new";
        assert.deepEqual(contentOf(second), [content, `index of ${content}`]);
      } else assert.ok(step < 4);
      await second.commitLayer(stage(second, "newest"));
      assert.deepEqual(contentOf(second), ["newest", "index of newest"]);
    });
  }
}
